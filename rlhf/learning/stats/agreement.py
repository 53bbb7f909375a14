"""How far people agree: percent, Kendall's tau-b and Krippendorff's alpha, with intervals whose unit is the task.

Pages show these numbers while work goes on, so this module needs numpy alone. Intervals are percentile bootstraps over
tasks: answers to one task move together. Where resampling can't tell (fewer than 2 tasks, or no spread at all) percent
falls back to Wilson's interval with a task as the unit, and the other two have no interval instead of one of width 0.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

RESAMPLES = 1_000
Z = 1.959963984540054  # of a 95 % interval
Floats = NDArray[np.float64]
Pair = tuple[Sequence[int], Sequence[int]]  # two people's ranks of the same completions, 1 is best


@dataclass(frozen=True)
class Agreement:
    """A statistic over tasks that at least two people answered; None where there is nothing to compute it from."""

    value: float | None
    low: float | None
    high: float | None
    num_tasks: int


def percent(tasks: Sequence[Sequence[Pair]], *, seed: int = 0) -> Agreement:
    """The share of completion pairs that two people order the same way; a tie agrees with a tie alone.

    With two completions per task that is the percent agreement of InstructGPT (arXiv 2203.02155, section 3.4).
    tasks: for each task the pairs of answers that are compared. A task counts by its number of answer pairs times
    completion pairs. Raises ValueError for ranks of unequal length.
    """
    sums = np.array([_same_order(pairs) for pairs in tasks], dtype=np.float64).reshape(-1, 2)
    found = _ratio(sums, seed)
    if found.value is None or found.low is not None:
        return found
    low, high = wilson(found.value, found.num_tasks)
    return Agreement(found.value, low, high, found.num_tasks)


def kendall_tau_b(tasks: Sequence[Sequence[Pair]], *, seed: int = 0) -> Agreement:
    """The mean over answer pairs of Kendall's tau-b, (C - D) / sqrt((n - t_a) (n - t_b)).

    C and D count completion pairs in the same and in opposite order, n all pairs, t the ties of one person (Kendall
    1945). An answer that ties everything has no tau and is left out. tasks: as for `percent`.
    """
    sums = np.array([_taus(pairs) for pairs in tasks], dtype=np.float64).reshape(-1, 2)
    return _ratio(sums, seed)


def krippendorff_alpha(counts: ArrayLike, clusters: ArrayLike, *, level: str, seed: int = 0) -> Agreement:
    """Krippendorff's alpha, 1 - D_observed / D_expected: 1 is agreement, 0 what chance gives (Krippendorff 2011).

    counts: (U, V), how many people gave value v to unit u. clusters: (U,), the task of each unit, any labels; tasks are
    resampled whole. level: "nominal" (values are names) or "ordinal" (values are ordered as their columns). Units with
    fewer than two values say nothing and are left out. Alpha has no value where everybody gave the same value.
    """
    table = np.asarray(counts, dtype=np.float64)
    if level not in ("nominal", "ordinal"):
        raise ValueError(f"alpha: expected level nominal or ordinal, found {level!r}")
    pairable = table.sum(axis=1) >= 2
    table, labels = table[pairable], np.asarray(clusters)[pairable]
    if not len(table):
        return Agreement(None, None, None, 0)
    names, index = np.unique(labels, return_inverse=True)
    num_values = table.shape[1]
    weights = 1 / (table.sum(axis=1) - 1)  # (U,)
    coincidences = weights[:, None, None] * (
        table[:, :, None] * table[:, None, :] - table[:, :, None] * np.eye(num_values)
    )  # (U, V, V): Krippendorff's o_ck, per unit
    per_cluster = np.zeros((len(names), num_values, num_values))
    np.add.at(per_cluster, index, coincidences)
    value = float(_alphas(per_cluster.sum(axis=0)[None], level)[0])
    draws = _resampled(per_cluster.reshape(len(names), -1), seed).reshape(-1, num_values, num_values)
    low, high = _bounds(_alphas(draws, level), len(names))
    return Agreement(None if math.isnan(value) else value, low, high, len(names))


def order_share(first: Sequence[int], second: Sequence[int]) -> float:
    """How much of one order is in the other, in [0, 1]: a pair in the same order counts 1, a tie against an order a
    half, opposite orders 0. Ranking at random comes to a half. Raises ValueError for ranks of unequal length."""
    if len(first) != len(second) or len(first) < 2:
        raise ValueError(f"ranks: expected as many in both, two or more, found {len(first)} and {len(second)}")
    apart = num = 0  # plain numbers: for nine completions or fewer arrays are ten times slower
    for i, j in itertools.combinations(range(len(first)), 2):
        num += 1
        apart += abs(_sign(first[i] - first[j]) - _sign(second[i] - second[j]))
    return 1 - apart / (2 * num)


def _sign(difference: int) -> int:
    return (difference > 0) - (difference < 0)


def wilson(share: float, size: float) -> tuple[float, float]:
    """Wilson's 95 % score interval of a share seen on `size` independent units."""
    shrink = 1 + Z * Z / size
    centre = (share + Z * Z / (2 * size)) / shrink
    half = Z / shrink * math.sqrt(share * (1 - share) / size + Z * Z / (4 * size * size))
    return max(centre - half, 0.0), min(centre + half, 1.0)


@lru_cache(maxsize=4_096)  # people rank few completions: the same ranks come again and again
def _signs(ranks: tuple[int, ...]) -> Floats:
    """(n (n - 1) / 2,): -1 where the first of a pair is better, 0 for a tie, 1 where it is worse."""
    values = np.asarray(ranks)
    first, second = np.triu_indices(len(values), k=1)
    signs: Floats = np.sign(values[first] - values[second]).astype(np.float64)
    return signs


def _same_order(pairs: Sequence[Pair]) -> tuple[float, float]:
    same = total = 0.0
    for first, second in pairs:
        a, b = _signs(tuple(first)), _signs(tuple(second))
        same += float((a == b).sum())
        total += a.size
    return same, total


def _taus(pairs: Sequence[Pair]) -> tuple[float, float]:
    total = num = 0.0
    for first, second in pairs:
        a, b = _signs(tuple(first)), _signs(tuple(second))
        scale = math.sqrt(float((a != 0).sum()) * float((b != 0).sum()))
        if scale:
            total += float((a * b).sum()) / scale
            num += 1
    return total, num


def _ratio(sums: Floats, seed: int) -> Agreement:
    """sum of column 0 / sum of column 1 over tasks; sums: (T, 2)."""
    sums = sums[sums[:, 1] > 0]
    if not len(sums):
        return Agreement(None, None, None, 0)
    draws = _resampled(sums, seed)
    low, high = _bounds(draws[:, 0] / draws[:, 1], len(sums))
    return Agreement(float(sums[:, 0].sum() / sums[:, 1].sum()), low, high, len(sums))


def _resampled(rows: Floats, seed: int) -> Floats:
    """(RESAMPLES, C): sums over as many tasks as there are, drawn with replacement; rows: (T, C)."""
    num = len(rows)
    drawn = np.random.default_rng(seed).integers(num, size=(RESAMPLES, num)) + num * np.arange(RESAMPLES)[:, None]
    times = np.bincount(drawn.ravel(), minlength=RESAMPLES * num).reshape(RESAMPLES, num)
    result: Floats = times.astype(np.float64) @ rows
    return result


def _bounds(values: Floats, num_tasks: int) -> tuple[float | None, float | None]:
    values = values[~np.isnan(values)]
    if num_tasks < 2 or len(values) < RESAMPLES / 2 or float(np.ptp(values)) < 1e-12:
        return None, None
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


def _alphas(coincidences: Floats, level: str) -> Floats:
    """(B,): alpha of each (V, V) table of coincidences; nan where only one value occurs."""
    totals = coincidences.sum(axis=2)  # (B, V): n_c
    distances = _ordinal(totals) if level == "ordinal" else 1 - np.eye(totals.shape[1])
    observed = (coincidences * distances).sum(axis=(1, 2))
    expected = (totals[:, :, None] * totals[:, None, :] * distances).sum(axis=(1, 2)) / (totals.sum(axis=1) - 1)
    result: Floats = 1 - np.divide(observed, expected, out=np.full(len(expected), np.nan), where=expected > 0)
    return result


def _ordinal(totals: Floats) -> Floats:
    """(B, V, V): (sum of n_g for g from c to k, less (n_c + n_k) / 2)^2."""
    middles = np.cumsum(totals, axis=1) - totals / 2  # (B, V)
    result: Floats = (middles[:, :, None] - middles[:, None, :]) ** 2
    return result
