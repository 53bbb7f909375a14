"""What the verdicts of a judge on a prompt come to: one score and one outcome, the unit that every number counts.

As `stats/units.py` has it for the lists behind the numbers, to the bit, for a million verdicts at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rlhf.learning.stats.units import GRID, mean_deviation

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

WIN, TIE, LOSS, UNSETTLED = 0, 1, 2, 3  # outcomes
OUTCOMES = ("win", "tie", "loss", "unsettled")
CANDIDATE_FIRST, BASELINE_FIRST = "candidate_first", "baseline_first"


@dataclass(frozen=True)
class Units:
    """One row per group of verdicts, in the order of the groups' numbers."""

    score: Floats  # (U,) of the candidate: mean over raters, orders and replicates
    outcome: Ints  # (U,) WIN, TIE, LOSS or UNSETTLED: the two orders name different winners
    num_verdicts: Ints  # (U,)


def units(
    group: Ints, rater: ArrayLike, position: Sequence[str] | NDArray[np.str_], replicate: Ints, score: Floats
) -> Units:
    """Collapse verdicts to units; a unit's score is exactly 1 - itself where all its verdicts' are.

    group: (n,) from 0, without gaps: which unit a verdict belongs to. rater, position, replicate: (n,); a verdict of
    one order is compared with that of the other by the same rater and replicate. score: (n,) from 0 to 1.
    """
    num = int(group.max()) + 1 if group.size else 0
    count = np.bincount(group, minlength=num)
    value = 0.5 + np.round(_mean_deviations(group, score - 0.5, count) * GRID) / GRID
    outcome = np.where(value > 0.5, WIN, np.where(value < 0.5, LOSS, TIE)).astype(np.int64)
    outcome[_unsettled(group, np.asarray(rater), np.asarray(position), replicate, score)] = UNSETTLED
    return Units(value, outcome, count.astype(np.int64))


def _mean_deviations(group: Ints, deviations: Floats, count: Ints) -> Floats:
    """As `stats.units.mean_deviation` of every unit: a sum of two is rounded once anyhow, as is one of halves."""
    means = np.bincount(group, weights=deviations, minlength=len(count)) / np.maximum(count, 1)
    graded = np.bincount(group, weights=deviations * 2 % 1 != 0, minlength=len(count)) > 0
    rows = np.flatnonzero((graded & (count > 2))[group])
    order = rows[np.argsort(group[rows], kind="stable")]
    starts = np.flatnonzero(np.r_[True, np.diff(group[order]) > 0]) if order.size else order
    for own in np.split(order, starts[1:]) if order.size else []:
        means[group[own[0]]] = mean_deviation(deviations[own].tolist())
    return means


def _unsettled(
    group: Ints, rater: NDArray[np.generic], position: NDArray[np.generic], replicate: Ints, score: Floats
) -> Ints:
    """The units in which somebody named another winner when the answers changed places."""
    first, second = position == CANDIDATE_FIRST, position == BASELINE_FIRST
    both = first | second
    if not both.any():
        return np.zeros(0, dtype=np.int64)
    columns = (group[both], numbered(rater[both]), numbered(replicate[both]))
    key = numbered(combined(columns))
    winner = (1 << (np.sign(score[both] - 0.5).astype(np.int64) + 1)).astype(np.int64)  # a bit per winner
    seen = np.zeros((2, int(key.max()) + 1), dtype=np.int64)
    np.bitwise_or.at(seen, (second[both].astype(np.int64), key), winner)
    differs = (seen[0] > 0) & (seen[1] > 0) & (seen[0] != seen[1])
    return np.unique(columns[0][differs[key]])


def numbered(values: NDArray[np.generic]) -> Ints:
    """(n,) the place of each value among the sorted different ones."""
    places: Ints = np.unique(values, return_inverse=True)[1].astype(np.int64)
    return places


def combined(columns: Sequence[Ints]) -> Ints:
    """(n,) one number per row that sorts as the columns do, first column first; columns from 0."""
    key = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        key = key * (int(column.max()) + 1 if column.size else 1) + column
    return key
