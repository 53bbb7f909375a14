"""Learning against what people use: `python -m benchmarks.learning [--quick] [--only a,b,...] [--sizes demo,30M]`.

    (a) reward models on rankings of 2, 4 and 9, against TRL's RewardTrainer     (b) sampling, against `generate`
    (c) SFT on ragged rows, against TRL's SFTTrainer                             (d) a PPO iteration, against TRL 1.9's
    (e) RLOO and GRPO, against TRL's                                             (f) time to the first forward
    (g) peak memory of every stage, of both sides

Both sides of a line are alive at once and work turn about, a few steps each, while the other sleeps: a shared machine
changes its speed by a factor of two within seconds, and so does the yardstick, a fixed loop timed before every turn.
Ratios are the peer's seconds over ours, of processor time and of the clock (with other work on the machine the first is
the one to read): sums over the turns of all seeds. Quality counts as equal where the 95 % interval of the paired
difference over the seeds holds 0. The peer has our threads, precision and optimiser, tokens instead of text, rows
in random order as we have them (sorted by length it pads less and learns less), and the faster of the two attentions
that a processor has, found anew for every line. A step is a step on both sides: no samples of a checkpoint in ours.

Peers live in environments of their own under HONE_VAR, made when missing (HONE_TRL_PYTHON, HONE_TRL_PPO_PYTHON name
existing ones). Every line is printed and written when it is done. With a GPU at hand `python -m
benchmarks.learning_gpu` does the same at 0.5 B and 1.5 B parameters.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.learning_bench import ROOT, Bench, load, machine, peer_python, summarise
from benchmarks.learning_cases import cases
from benchmarks.learning_start import start_times

Job = dict[str, Any]
RESULTS = ROOT / "benchmarks/results"
VERSIONS = "TRL 1.16 (PPO: 1.9), transformers 5.23, torch 2.13"


def table(found: Sequence[Job]) -> Table:
    made = Table(title="seconds of the peer over ours, for the same steps: all turns (lowest to highest turn)")
    columns = ("", "case", "model", "processor", "wall", "asked", "quality, ours / peer", "difference", "peak MiB")
    for name in columns:
        made.add_column(name)
    for line in found:
        interval = f"{line['difference']:+.3f} ± {line['half_width']:.3f}"
        made.add_row(
            line["line"],
            line["case"],
            line["size"],
            *(
                f"{line[f'{name}_ratio']:.2f}x ({line[f'{name}_low']:.1f}-{line[f'{name}_high']:.1f})"
                for name in ("cpu", "wall")
            ),
            f"{line['target']}x" if line["target"] else "",
            f"{line['quality_ours']:.3f} / {line['quality_peer']:.3f} {line['quality_name']}",
            "one seed" if math.isnan(line["half_width"]) else interval,
            f"{line['peak_mib_ours']:.0f} / {line['peak_mib_peer']:.0f}",
        )
    return made


def write(path: Path, how: str, found: Sequence[Job], starts: Job, about: Job) -> None:
    """The table as Markdown and every number as JSON."""
    console = Console(width=170, record=True, file=io.StringIO())
    if found:
        console.print(table(found))
    for name, seconds in starts.items():
        console.print(f"f  {name}: {seconds:.2f} s")
    conditions = (
        f"{how}: {VERSIONS}. {about['machine']}; load {about['load_before']} before and {about['load_after']} after; "
        f"the yardstick went from {min((line['yardstick_low'] for line in found), default=0):.0f} to "
        f"{max((line['yardstick_high'] for line in found), default=0):.0f} ms; {about['seconds']} s."
    )
    path.with_suffix(".json").write_text(json.dumps(about | {"lines": list(found), "starts": starts}, indent=1) + "\n")
    text = "\n".join(line.rstrip() for line in console.export_text().splitlines())
    path.with_suffix(".md").write_text(f"# Learning against its peers\n\n{conditions}\n\n```\n{text}\n```\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer steps, and one seed if not told: within 10 minutes")
    parser.add_argument("--only", default="a,b,c,d,e,f,g", help="lines, with commas; g is part of every other line")
    parser.add_argument("--sizes", default="demo,30M")
    parser.add_argument("--seeds", type=int, help="3 if not told, 1 with --quick")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32", help="of both sides")
    parser.add_argument("--name", help="of the files under benchmarks/results")
    asked = parser.parse_args()
    lines, sizes = asked.only.split(","), asked.sizes.split(",")
    seeds = range(asked.seeds or (1 if asked.quick else 3))
    name = asked.name or ("learning_quick" if asked.quick else "learning")
    how = f"`python -m benchmarks.learning {' '.join(sys.argv[1:])}`, {asked.precision}"
    RESULTS.mkdir(exist_ok=True)
    console, started, before = Console(width=170), time.monotonic(), load()
    var = Path(os.environ.get("HONE_VAR", tempfile.gettempdir())) / "benchmarks"
    found: list[Job] = []
    starts: Job = {}

    def keep() -> None:
        about = {"machine": machine(), "load_before": before, "load_after": load(), "quick": asked.quick}
        about |= {"precision": asked.precision, "seconds": round(time.monotonic() - started)}
        write(RESULTS / name, how, found, starts, about)

    with tempfile.TemporaryDirectory(prefix="hone-learning-") as work:
        bench = Bench(Path(work), console, var, precision=asked.precision)
        for case in cases(asked.quick):
            if case.size.name in sizes and (case.line in lines or lines == ["g"]):
                found.append(summarise(case, [bench.compare(case, seed) for seed in seeds]))
                ratios = f"processor {found[-1]['cpu_ratio']:.2f}x, wall {found[-1]['wall_ratio']:.2f}x"
                console.print(f"{case.line} {case.size.name} {case.name}: {ratios}, {time.monotonic() - started:.0f} s")
                keep()
        if "f" in lines:
            starts = start_times(Path(work), peer_python("trl", var, console))
            keep()
    console.print(table(found))
    for what, seconds in starts.items():
        console.print(f"f  {what}: {seconds:.2f} s")
    console.print(f"written to {RESULTS / name}.md; load {before} before, {load()} after")


if __name__ == "__main__":
    main()
