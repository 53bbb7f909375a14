"""The numbers of the labeling benchmark as a table, as Markdown and as JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.table import Table

WHO = ("alone", "veteran", "crowd")
COLUMNS = (
    "database", "open tasks", "next p50 / p95 ms", "who", "submit p50 / p95 ms", "server CPU ms per cycle",
    "database CPU ms", "cycles/s", "duplicates",
)  # fmt: skip


def quantiles(seconds: Sequence[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    return {"p50_ms": 1e3 * ordered[len(ordered) // 2], "p95_ms": 1e3 * ordered[int(0.95 * len(ordered))]}


def about(*, load: float, seconds: float, num_cycles: tuple[int, int]) -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load_before": round(load, 2),
        "seconds": round(seconds),
        "cycles_alone": num_cycles[0],
        "cycles_each_in_crowd": num_cycles[1],
    }


def rows(found: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    return [
        (
            pool["database"], f"{pool['tasks']:,}", _pair(pool["next"]), who, _pair(pool[who]["submit"]),
            f"{pool[who]['server_cpu_ms']:.2f}", _optional(pool[who].get("database_cpu_ms")),
            f"{pool[who]['cycles_per_s']:.0f}", "0",
        )
        for pool in found
        for who in WHO
    ]  # fmt: skip


def line(pool: dict[str, Any]) -> str:
    cpu = ", ".join(f"{who} {pool[who]['server_cpu_ms']:.2f}" for who in WHO)
    return f"{pool['database']} {pool['tasks']:,}: CPU ms per cycle {cpu}; {pool['crowd']['cycles_per_s']:.0f} cycles/s"


def table(found: Sequence[dict[str, Any]]) -> Table:
    made = Table(*COLUMNS)
    for row in rows(found):
        made.add_row(*row)
    return made


def write(*, folder: Path, about: dict[str, Any], found: Sequence[dict[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "labeling.json").write_text(json.dumps({"about": about, "pools": found}, indent=1) + "\n")
    lines = [" | ".join(COLUMNS), " | ".join("---" for _ in COLUMNS), *(" | ".join(row) for row in rows(found))]
    text = [
        "# A labeler's round trip: what it costs the server",
        "",
        _conditions(about),
        "",
        *(f"| {row} |" for row in lines),
    ]
    (folder / "labeling.md").write_text("\n".join(text) + "\n")


def _conditions(about: dict[str, Any]) -> str:
    return (
        f"`python -m benchmarks.labeling`, {about['date']}, Python {about['python']}, {about['cores']} cores that "
        f"the clients use too, load {about['load_before']} before the run. `alone`: {about['cycles_alone']} cycles; "
        f"`crowd`: 20 labelers at once, {about['cycles_each_in_crowd']} cycles each; `veteran`: alone, having seen "
        "nine tenths of the pool. Each cycle is one submit, with the next task confirmed and one more prefetched; 5 % "
        "are gold. The quality rules' look at every fifth answer is switched off: they would pause clients so fast."
    )


def _pair(value: dict[str, float]) -> str:
    return f"{value['p50_ms']:.1f} / {value['p95_ms']:.1f}"


def _optional(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
