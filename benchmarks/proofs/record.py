"""Writes down what was measured: proofs.json for programs, proofs.md for people."""

from __future__ import annotations

import dataclasses
import datetime
import json
import math
import os
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.proofs.numbers import Number, Proof
from benchmarks.proofs.sizes import Sizes


def machine() -> dict[str, Any]:
    """Where the numbers were measured, and how busy it was."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor(),
        "num_cores": os.cpu_count(),
        "load_average": [round(load, 1) for load in os.getloadavg()],
        "python": platform.python_version(),
        "torch": metadata.version("torch"),
        "transformers": metadata.version("transformers"),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
    }


def write(folder: Path, name: str, done: Mapping[str, tuple[Proof, Sequence[Number], float]], sizes: Sizes) -> None:
    """`folder`/`name`.json and .md. done: by proof its numbers and the seconds of one core that it took."""
    where = machine() | {"sizes": dataclasses.asdict(sizes)}
    proofs = {
        key: {"promise": proof.promise, "cpu_s": round(seconds), "numbers": [_plain(number) for number in numbers]}
        for key, (proof, numbers, seconds) in done.items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps({"machine": where, "proofs": proofs}, indent=1) + "\n")
    (folder / f"{name}.md").write_text(page(where, done, sizes))


def page(where: Mapping[str, Any], done: Mapping[str, tuple[Proof, Sequence[Number], float]], sizes: Sizes) -> str:
    """The numbers as a Markdown page."""
    numbers = [number for _, some, _ in done.values() for number in some]
    promised = [number for number in numbers if number.holds is not None]
    lines = [
        f"# Proofs of the learning core, size {sizes.name}",
        "",
        f"{where['processor']}, {where['num_cores']} cores, load {where['load_average']}; torch {where['torch']}, "
        f"transformers {where['transformers']}, Python {where['python']}; {where['date']}. Intervals are 95 %. "
        f"{sum(bool(n.holds) for n in promised)} of {len(promised)} promises hold.",
    ]
    for key, (proof, some, seconds) in done.items():
        lines += ["", f"## {key}", "", f"{proof.promise} {seconds:.0f} s of one core.", ""]
        lines += ["| number | value | interval | promised | holds |", "|---|---|---|---|---|"]
        lines += [_row(number) for number in some]
    return "\n".join(lines) + "\n"


def _row(number: Number) -> str:
    interval = "" if number.low is None or number.high is None else f"{number.low:.4g} to {number.high:.4g}"
    holds = {True: "yes", False: "**no**", None: ""}[number.holds]
    return f"| {number.name} | {number.value:.4g} | {interval} | {number.expected} | {holds} |"


def _plain(number: Number) -> dict[str, Any]:
    """JSON has no infinity: null there."""
    values = dataclasses.asdict(number)
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}
