"""A judge's win rate put right by the people who judged some of the same prompts: PPI++ for a clustered mean.

A judge's own interval says where the judge would end up with more prompts, nothing about people. With n prompts judged
by judge f and by people y, and N by the judge alone, mean(y - lambda f) + lambda mean(f) is an unbiased estimate of the
people's rate for every lambda, however wrong the judge is; lambda is chosen for the least variance.

Assumed, and not testable from the rows: the prompts that people judged are a random sample of those that the judge
judged. Where people chose what they judged, the interval doesn't hold.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rlhf.learning.stats.intervals import clustered_mean, interval

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Calibrated:
    """The people's win rate of a candidate as estimated from both, 0 to 1, with what each says alone."""

    win_rate: float
    standard_error: float
    low: float
    high: float
    num_human: int  # units that people judged
    num_judged: int  # units that the judge judged, those included
    weight: float  # lambda: 0 leaves the judge out, 1 trusts it for all but its bias
    judge_win_rate: float
    human_win_rate: float


def calibrated(
    judge: ArrayLike, human: ArrayLike, clusters: ArrayLike | None = None, confidence: float = 0.95
) -> Calibrated | None:
    """The human-calibrated win rate; None with fewer than two clusters that people judged.

    lambda = cov(y, f) / ((1 + n / N) var f), clipped to [0, 1], and Var = lambda^2 var(f) / N + var(y - lambda f) / n
    (power tuning for a mean, Angelopoulos, Duchi and Zrnic 2023, arXiv 2311.01453): n units that people judged, N that
    only the judge did; var f of lambda over all of them. With clusters each variance of a mean is
    G / (G - 1) sum_g (sum_{k in g} residual)^2 / n^2, and lambda minimises that. A cluster in which people judged some
    units only gives no unlabelled ones, so that both parts stay independent. t with G - 1 degrees of freedom of the
    labelled clusters, and Wilson's interval where `intervals.interval` takes it.

    judge: (K,) unit scores in [0, 1]. human: (K,) unit scores, nan where people gave none. clusters: (K,) labels;
    every unit its own by default. Raises ValueError for unequal lengths or scores outside.
    """
    f, y = np.asarray(judge, dtype=np.float64), np.asarray(human, dtype=np.float64)
    labels = np.arange(f.size) if clusters is None else np.asarray(clusters)
    known = ~np.isnan(y)
    _check(f, y[known], y.size, labels.size)
    _, index = np.unique(labels, return_inverse=True)
    asked = np.bincount(index, weights=known) > 0
    if int(asked.sum()) < 2:
        return None
    alone = ~asked[index]
    mine, theirs, labelled = f[known], y[known], index[known]
    weight = _weight(f, index, mine, theirs, labelled, int(alone.sum()), int((~asked).sum()))
    variance = _variance_of_mean(theirs - weight * mine, labelled)
    mean = float(theirs.mean())
    if weight > 0:
        mean += weight * float(f[alone].mean() - mine.mean())
        variance += weight**2 * _variance_of_mean(f[alone], index[alone])
    mean, error = min(max(mean, 0.0), 1.0), math.sqrt(variance)
    low, high = interval(mean, error, int(asked.sum()), confidence)
    return Calibrated(
        win_rate=mean,
        standard_error=error,
        low=low,
        high=high,
        num_human=int(known.sum()),
        num_judged=f.size,
        weight=weight,
        judge_win_rate=clustered_mean(f, index).mean,
        human_win_rate=clustered_mean(theirs, labelled).mean,
    )


def _check(judge: Floats, human: Floats, num_human: int, num_labels: int) -> None:
    if not judge.size == num_human == num_labels:
        found = f"{judge.size}, {num_human} and {num_labels}"
        raise ValueError(f"calibrated: expected as many scores of judge and people as clusters, found {found}")
    if not ((judge >= 0) & (judge <= 1)).all() or not ((human >= 0) & (human <= 1)).all():
        raise ValueError("calibrated: expected scores from 0 to 1, found others")


def _weight(
    f: Floats,
    index: NDArray[np.intp],
    mine: Floats,
    theirs: Floats,
    labelled: NDArray[np.intp],
    num_alone: int,
    num_clusters_alone: int,
) -> float:
    """lambda; 0 where there is nothing that the judge alone judged, or it always says the same."""
    if num_clusters_alone < 2:
        return 0.0
    sums = _sums(f, index)
    spread = float(np.square(sums).sum()) / (len(sums) - 1)  # of a cluster's sum of f, over all clusters
    num_clusters = len(np.unique(labelled))
    of_judge = spread * (num_clusters / mine.size**2 + num_clusters_alone / num_alone**2)
    if of_judge < 1e-18:
        return 0.0
    together = float((_sums(theirs, labelled) * _sums(mine, labelled)).sum())
    covariance = num_clusters / (num_clusters - 1) * together / mine.size**2
    return min(max(covariance / of_judge, 0.0), 1.0)


def _sums(values: Floats, index: NDArray[np.intp]) -> Floats:
    """Sums over clusters of deviations from the mean; labels that don't occur have 0."""
    sums: Floats = np.bincount(index, weights=values - values.mean()).astype(np.float64)
    return sums


def _variance_of_mean(values: Floats, index: NDArray[np.intp]) -> float:
    num_clusters = len(np.unique(index))
    return num_clusters / (num_clusters - 1) * float(np.square(_sums(values, index)).sum()) / values.size**2
