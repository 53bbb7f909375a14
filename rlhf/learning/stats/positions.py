"""Whether a judge leans to the answer that it sees first, from both orders of the same pairs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr, stdtrit

HALF = 0.5  # of an observation, added to each side (Haldane, Anscombe): a lean without exception stays finite
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Position:
    """Of one judge. A positive bias leans to the first answer, by so many logits each time."""

    num_pairs: int
    consistency: float  # share of pairs with the same winner (or a tie) in both orders
    num_first: int  # pairs in which whatever was shown first won, both times
    num_second: int
    p: float  # exact, two-sided: num_first of num_first + num_second against one half; 1 where there is none
    bias: float
    standard_error: float
    low: float
    high: float


def position(
    prompts: ArrayLike, candidate_first: ArrayLike, baseline_first: ArrayLike, confidence: float = 0.95
) -> Position:
    """Position bias from n pairs of answers, each judged in both orders.

    The bias is beta of logit P(candidate wins) = theta_pair + beta x, x = 1 where the candidate is shown first and -1
    where it's second. Every pair has its own theta, which the Mantel-Haenszel odds ratio for matched pairs cancels:
    beta = ln(A / B) / 2 with A = sum f (1 - s) and B = sum (1 - f) s over the pair's two scores f and s, half an
    observation added to each. Of plain wins and losses that is the log odds of first-first against second-second, by
    conditional likelihood; of a judge that gives probabilities it is beta itself, whatever the thetas. A tie says half
    a win. The variance is that of the sums by the delta method, clustered by prompt, t with G - 1 degrees of freedom.

    prompts: (n,) labels. candidate_first, baseline_first: (n,) scores of the candidate, 0 to 1, where it was shown
    first and second. Raises ValueError for no pairs, unequal lengths or scores outside.
    """
    labels = np.asarray(prompts)
    first, second = np.asarray(candidate_first, dtype=np.float64), np.asarray(baseline_first, dtype=np.float64)
    if not labels.size or not labels.size == first.size == second.size:
        found = f"{labels.size}, {first.size} and {second.size}"
        raise ValueError(f"positions: expected as many prompts as scores in each order, at least one, found {found}")
    if not ((first >= 0) & (first <= 1) & (second >= 0) & (second <= 1)).all():
        raise ValueError("positions: expected scores from 0 to 1, found others")
    winners, swapped = np.sign(first - 0.5), np.sign(second - 0.5)
    num_first = int(((winners > 0) & (swapped < 0)).sum())
    num_second = int(((winners < 0) & (swapped > 0)).sum())
    bias, error, num_clusters = _bias(first, second, labels)
    half = float(stdtrit(max(1, num_clusters - 1), (1 + confidence) / 2)) * error
    return Position(
        num_pairs=first.size,
        consistency=float((winners == swapped).mean()),
        num_first=num_first,
        num_second=num_second,
        p=min(1.0, 2 * float(bdtr(min(num_first, num_second), num_first + num_second, 0.5))),
        bias=bias,
        standard_error=error,
        low=bias - half,
        high=bias + half,
    )


def _bias(first: Floats, second: Floats, labels: NDArray[np.generic]) -> tuple[float, float, int]:
    """Bias, its standard error and the number of clusters."""
    _, index = np.unique(labels, return_inverse=True)
    ahead, behind = first * (1 - second), (1 - first) * second
    above, below = float(ahead.sum()) + HALF, float(behind.sum()) + HALF
    sums = np.bincount(index, weights=ahead / above - behind / below)
    # The added halves have a variance too: with it plain wins of one pair a prompt have exactly 1 / A + 1 / B.
    variance = float(np.square(sums).sum()) + HALF / above**2 + HALF / below**2
    return math.log(above / below) / 2, math.sqrt(variance) / 2, len(sums)
