"""What an overview costs: `python -m benchmarks.evaluation [--versions 20] [--prompts 2000] [--judges 3]`.

A project of 20 versions, 2,000 prompts and 3 judges, every pair of versions judged on every prompt (1.14 million
verdicts), in a new SQLite file and a new PostgreSQL database. Timed: freezing all verdicts, the document of them,
seeing that nothing has changed, and the overview page as a researcher gets it, through Django's whole stack (p95 of
`--requests` after three that warm it up). Then the full Bradley-Terry fit and 1,000 resamples of prompts for all
judges, in this process, beside evalica.bootstrap and FastChat's way of drawing rows again.

Prints a table, and writes it with all numbers to benchmarks/results/evaluation.{md,json}.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.evaluation import refits, scores
from tests import services


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--versions", type=int, default=20)
    parser.add_argument("--prompts", type=int, default=2_000)
    parser.add_argument("--judges", type=int, default=3)
    parser.add_argument("--requests", type=int, default=100)
    parser.add_argument("--databases", nargs="*", choices=["sqlite", "postgresql"], default=["sqlite", "postgresql"])
    parser.add_argument("--results", type=Path, default=Path(__file__).parent.parent / "results")
    asked = parser.parse_args()
    console, load = Console(), os.getloadavg()[0]
    size = {"num_versions": asked.versions, "num_prompts": asked.prompts, "num_judges": asked.judges}
    with console.status("fits and resamples"):
        fits = refits.measure(scores.make(**size))
    found: dict[str, Any] = {"about": _about(load) | size, "fits": fits, "databases": []}
    for database in asked.databases:
        with console.status(f"{database}: verdicts, overview, page"):
            found["databases"].append(_in_database(database, asked))
    text = _markdown(found)
    console.print(text, markup=False)
    (asked.results / "evaluation.md").write_text(text)
    (asked.results / "evaluation.json").write_text(json.dumps(found, indent=1) + "\n")


def _in_database(database: str, asked: argparse.Namespace) -> dict[str, Any]:
    with contextlib.ExitStack() as stack:
        var = stack.enter_context(tempfile.TemporaryDirectory(prefix="hone-evaluation-"))
        url = stack.enter_context(services.postgres()) if database == "postgresql" else ""
        numbers = [str(number) for number in (asked.versions, asked.prompts, asked.judges, asked.requests)]
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.evaluation.world", *numbers],
            env={**os.environ, "HONE_VAR": var, "DATABASE_URL": url},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _about(load: float) -> dict[str, Any]:
    model = next(
        (line.partition(": ")[2] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "python": platform.python_version(),
        "processor": model,
        "cores": os.cpu_count(),
        "load_before": round(load, 2),
        "threads": os.environ.get("OMP_NUM_THREADS", "as many as cores"),
    }


def _markdown(found: dict[str, Any]) -> str:
    about, fits = found["about"], found["fits"]
    lines = [
        "# Overview of many verdicts",
        "",
        f"{about['num_versions']} versions, {about['num_prompts']:,} prompts, {about['num_judges']} judges, all pairs. "
        f"{about['date']}, {about['processor']}, {about['cores']} cores, load {about['load_before']} before, "
        f"OMP_NUM_THREADS {about['threads']}, Python {about['python']}. `python -m benchmarks.evaluation`",
        "",
        "| Bradley-Terry, all judges | 1,000 resamples |",
        "|---|---|",
        f"| full fit and resamples of prompts (ours), best of {len(fits['ours_all_s'])} | {fits['ours_s']:.2f} s "
        f"({fits['ours_cpu_s']:.2f} s of processor) |",
        f"| the same of one judge | {fits['ours_one_judge_s']:.2f} s |",
        f"| evalica.bootstrap, rows, scaled from {fits['evalica_timed']} | {fits['evalica_s']:,.0f} s |",
        f"| FastChat's way, rows, scaled from {fits['fastchat_timed']} | {fits['fastchat_s']:,.1f} s |",
        "",
        "| database | verdicts | freeze | more memory | estimate | its memory | document | page p50 / p95 | first | "
        "nothing new |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['database']} | {row['num_verdicts']:,} | {row['freeze_s']:.0f} s | {row['freeze_more_mb']:.0f} MB | "
        f"{row['estimate_s']:.0f} s | {row['estimate_mb']:.0f} MB | {row['document_mb']:.1f} MB | "
        f"{row['page_p50_ms']:.0f} / {row['page_p95_ms']:.0f} ms | {row['page_first_ms']:.0f} ms | "
        f"{row['nothing_changed_ms']:.1f} ms |"
        for row in found["databases"]
    ]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
