"""The numbers of the labeling benchmark as a table, as Markdown and as JSON."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.table import Table

WHO = ("alone", "veteran", "crowd")
COLUMNS = (
    "database", "open tasks", "next p50 / p95 ms", "who", "submit p50 / p95 ms", "server CPU ms per cycle",
    "database CPU ms", "cycles/s", "yardstick ms", "duplicates",
)  # fmt: skip


def quantiles(seconds: Sequence[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    return {"p50_ms": 1e3 * ordered[len(ordered) // 2], "p95_ms": 1e3 * ordered[int(0.95 * len(ordered))]}


def yardstick_ms() -> float:
    """Processor time of a loop that never changes: what the machine gives at this moment."""
    started, total = time.process_time(), 0
    for number in range(400_000):
        total += number * number
    return 1e3 * (time.process_time() - started)


def summary(rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Of a few rounds: all answers' times, and the median and the best round of every other number."""
    seconds = [second for one in rounds for second in one["seconds"]]
    found: dict[str, Any] = {"submit": quantiles(seconds), "cycles": len(seconds)}
    for name in rounds[0].keys() - {"seconds"}:
        values = [one[name] for one in rounds]
        best = max(values) if name == "cycles_per_s" else min(values)
        found[name] = {"median": statistics.median(values), "best": best, "rounds": values}
    return found


def about(*, load: float, seconds: float, num_cycles: tuple[int, int]) -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load_before": round(load, 2),
        "seconds": round(seconds),
        "cycles_alone_per_round": num_cycles[0],
        "cycles_each_in_crowd_per_round": num_cycles[1],
    }


def rows(found: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    return [
        (
            pool["database"], f"{pool['tasks']:,}", _pair(pool["next"]), who, _pair(pool[who]["submit"]),
            _best(pool[who]["server_cpu_ms"]), _best(pool[who].get("database_cpu_ms")),
            _best(pool[who]["cycles_per_s"], digits=0), _best(pool[who]["yardstick_ms"], digits=0), "0",
        )
        for pool in found
        for who in WHO
    ]  # fmt: skip


def line(pool: dict[str, Any]) -> str:
    cpu = ", ".join(f"{who} {_best(pool[who]['server_cpu_ms'])}" for who in WHO)
    cycles = _best(pool["crowd"]["cycles_per_s"], digits=0)
    return f"{pool['database']} {pool['tasks']:,}: CPU ms per cycle {cpu}; {cycles} cycles/s"


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
        f"the clients use too, load {about['load_before']} before the run. Rounds, turn about, of `alone`: "
        f"{about['cycles_alone_per_round']} cycles; `crowd`: 20 labelers at once, "
        f"{about['cycles_each_in_crowd_per_round']} cycles each; `veteran`: alone, having seen nine tenths of the "
        "pool. Each cycle is one submit, with the next task confirmed and one more prefetched; 5 % are gold. Shown "
        "are the median round and, in brackets, the best one. `yardstick` is a fixed loop that is timed before each "
        "round: where it differs, the machine did. The quality rules' look at every tenth answer is switched off: "
        "they would pause clients so fast."
    )


def _pair(value: dict[str, float]) -> str:
    return f"{value['p50_ms']:.1f} / {value['p95_ms']:.1f}"


def _best(value: dict[str, float] | None, *, digits: int = 2) -> str:
    return "" if value is None else f"{value['median']:.{digits}f} ({value['best']:.{digits}f})"
