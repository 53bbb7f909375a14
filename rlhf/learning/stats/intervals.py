"""Means of numbers in [0, 1] with intervals whose independent unit is a cluster (a prompt), never a row.

Rows that share a prompt move together; intervals over rows come out too narrow. The interval is Student's t on the
clusters, and Wilson's with an effective size where t can't be trusted: few clusters, a mean near 0 or 1, or no spread.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, stdtrit  # quantiles; scipy.stats takes ten times as long to import

from rlhf.learning.stats.units import from_half, mean_deviation

FEW_CLUSTERS = 30  # below it the t interval of a mean of near-binary numbers is too narrow
FEW_EVENTS = 5.0  # effective wins or losses below which the normal approximation of a rate fails


@dataclass(frozen=True)
class Estimate:
    """A mean in [0, 1] with its standard error and interval."""

    mean: float
    standard_error: float
    low: float
    high: float
    num_clusters: int
    num_rows: int


def clustered_mean(values: ArrayLike, clusters: ArrayLike, confidence: float = 0.95) -> Estimate:
    """Mean over rows, with SE^2 = G / (G - 1) * sum_g (sum_{i in g} (x_i - mean))^2 / n^2 over G clusters.

    Source: Miller 2024 (arXiv 2411.00640), equation 4, with the finite-cluster factor; t with G - 1 degrees of freedom.
    With a row per cluster this is sd / sqrt(n). Replacing x by 1 - x gives exactly 1 - mean, 1 - high, 1 - low.
    One cluster has no measurable error: its standard error is 0.5, the largest that a number in [0, 1] can have.

    values: (n,) in [0, 1]. clusters: (n,) any labels. Raises ValueError for no rows, or a value outside [0, 1].
    """
    deviations = np.asarray(values, dtype=np.float64) - 0.5
    if deviations.size == 0:
        raise ValueError("clustered mean: expected at least one row, found none")
    if not (np.abs(deviations) <= 0.5).all():
        raise ValueError("clustered mean: expected values from 0 to 1, found others")
    _, index = np.unique(np.asarray(clusters), return_inverse=True)
    mean = mean_deviation(deviations.tolist())
    standard_error = _standard_error(deviations - mean, index)
    low, high = _interval(mean, standard_error, int(index.max()) + 1, confidence)
    return Estimate(
        mean=from_half(mean),
        standard_error=standard_error,
        low=from_half(low),
        high=from_half(high),
        num_clusters=int(index.max()) + 1,
        num_rows=deviations.size,
    )


def interval(mean: float, standard_error: float, num_clusters: int, confidence: float = 0.95) -> tuple[float, float]:
    """The interval that `clustered_mean` gives, for a rate and standard error that come from elsewhere."""
    low, high = _interval(mean - 0.5, standard_error, num_clusters, confidence)
    return from_half(low), from_half(high)


def wilson(rate: float, size: float, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a rate seen on `size` (effective, maybe fractional) independent units."""
    middle, half = _wilson_around_half(rate - 0.5, size, float(ndtri((1 + confidence) / 2)))
    return 0.5 + middle - half, 0.5 + middle + half


def _standard_error(residuals: NDArray[np.float64], index: NDArray[np.intp]) -> float:
    sums = np.bincount(index, weights=residuals)
    if sums.size == 1:
        return 0.5
    return math.sqrt(sums.size / (sums.size - 1) * math.fsum(sums * sums)) / residuals.size


def _interval(mean: float, standard_error: float, num_clusters: int, confidence: float) -> tuple[float, float]:
    """Bounds as deviations from one half; `mean` is one too."""
    share = (1 + confidence) / 2
    variance = 0.25 - mean * mean  # of one yes-or-no unit with this rate
    # Graded scores and ties vary less than yes-or-no units, but so few clusters can't prove it: cap at their number.
    noise = 1e-12  # rounding of equal rows, no spread
    effective = min(num_clusters, variance / standard_error**2) if standard_error > noise else num_clusters
    extreme = effective * (0.5 - abs(mean)) < FEW_EVENTS
    if num_clusters < FEW_CLUSTERS or standard_error <= noise or extreme:
        middle, half = _wilson_around_half(mean, max(effective, 1.0), float(ndtri(share)))
    else:
        middle, half = mean, float(stdtrit(num_clusters - 1, share)) * standard_error
    return max(middle - half, -0.5), min(middle + half, 0.5)


def _wilson_around_half(mean: float, size: float, z: float) -> tuple[float, float]:
    """Centre and half width; centre and `mean` as deviations from one half, which keeps a swap exact."""
    shrink = 1 + z * z / size
    return mean / shrink, z / shrink * math.sqrt((0.25 - mean * mean) / size + z * z / (4 * size * size))
