"""Numbers with intervals, and what a proof makes of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from benchmarks.proofs.sizes import Sizes

Found = dict[str, Any]  # what a unit of work leaves: JSON


@dataclass(frozen=True)
class Number:
    """One measured number; `holds` is None where nothing was promised."""

    name: str
    value: float
    low: float | None = None  # 95 % interval
    high: float | None = None
    expected: str = ""
    holds: bool | None = None


@dataclass(frozen=True)
class Proof:
    """Units of work that can be done in any order, in any process, each once; and the numbers of all of them."""

    name: str
    promise: str
    units: Callable[[Sizes], list[str]]
    compute: Callable[[Path, str, Sizes], Found]  # folder of the worlds, a unit's key
    numbers: Callable[[Mapping[str, Found], Sizes], list[Number]]


def mean(values: ArrayLike) -> tuple[float, float, float]:
    """Mean of independent values and its 95 % interval (normal: they are many)."""
    found = np.asarray(values, dtype=np.float64)
    half = 1.96 * float(found.std(ddof=1)) / math.sqrt(len(found)) if len(found) > 1 else math.inf
    middle = float(found.mean())
    return middle, middle - half, middle + half


def pooled(found: Mapping[str, Found], *path: str) -> list[float]:
    """The lists at one place of all units, one after the other."""
    values: list[float] = []
    for unit in found.values():
        place: Any = unit
        for name in path:
            place = place[name]
        values += place
    return values


def by_seed(sizes: Sizes) -> list[str]:
    return [str(seed) for seed in sizes.seeds]


def share(hits: int, total: int) -> tuple[float, float, float]:
    """A rate with Wilson's 95 % interval."""
    z, rate = 1.96, hits / total
    shrink = 1 + z * z / total
    centre = (rate + z * z / (2 * total)) / shrink
    half = z / shrink * math.sqrt(rate * (1 - rate) / total + z * z / (4 * total * total))
    return rate, max(0.0, centre - half), min(1.0, centre + half)


def differences(later: Sequence[float], earlier: Sequence[float]) -> list[float]:
    return [b - a for a, b in zip(earlier, later, strict=True)]
