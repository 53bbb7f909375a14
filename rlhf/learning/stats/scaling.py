"""What more labels would buy: accuracy against the logarithm of their number, on one held-out set."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit


@dataclass(frozen=True)
class Slope:
    """Accuracy gained by twice the labels, in the range that was tried, and its 95 % interval over prompts."""

    per_doubling: float
    standard_error: float
    low: float
    high: float
    sizes: tuple[int, ...]
    accuracies: tuple[float, ...]


def slope(sizes: Sequence[int], outcomes: ArrayLike, clusters: ArrayLike) -> Slope:
    """Least-squares slope of accuracy on log2(size).

    The slope is a weighted sum of accuracies on the same comparisons, so its error is that of the mean of the same
    weighted sum over comparisons, clustered by prompt: what the models share cancels. The noise of training (another
    seed, other labels) isn't in it.

    sizes: (K,), two different ones or more. outcomes: (K, n), 1 where the model of that size was right, 0 where wrong,
    a half for equal scores. clusters: (n,), prompts. Raises ValueError for fewer sizes, or fewer than two clusters.
    """
    right, logs = np.asarray(outcomes, dtype=np.float64), np.log2(np.asarray(sizes, dtype=np.float64))
    _, index = np.unique(np.asarray(clusters), return_inverse=True)
    num_clusters = int(index.max()) + 1 if index.size else 0
    if len(set(sizes)) < 2 or num_clusters < 2:
        raise ValueError(f"scaling: expected two sizes and two prompts, found {sorted(set(sizes))} and {num_clusters}")
    weights = (logs - logs.mean()) / np.square(logs - logs.mean()).sum()  # (K,)
    values = weights @ (right - right[0])  # (n,); weights sum to 0, so that what models share is exactly nothing
    mean = float(values.mean())
    sums = np.bincount(index, weights=values - mean)
    error = math.sqrt(num_clusters / (num_clusters - 1) * float(np.square(sums).sum())) / values.size
    half = float(stdtrit(num_clusters - 1, 0.975)) * error
    accuracies = tuple(float(a) for a in right.mean(1))
    return Slope(mean, error, mean - half, mean + half, tuple(sizes), accuracies)
