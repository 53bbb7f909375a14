"""Whether probabilities of preference mean what they say: calibration error, reliability curve, Brier score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from rlhf.learning.stats.intervals import clustered_mean


@dataclass(frozen=True)
class Bin:
    """Comparisons of like confidence: how sure the model was on average, and how often it was right."""

    confidence: float
    accuracy: float
    low: float
    high: float
    num_pairs: int


@dataclass(frozen=True)
class Calibration:
    """Of n comparisons."""

    expected_calibration_error: float  # mean |accuracy - confidence| over bins, by their size; above 0 by noise alone
    brier: float  # mean squared error of the probability; 0.25 is that of a coin
    log_loss: float  # nats; ln 2 is that of a coin
    bins: tuple[Bin, ...]


def calibration(probabilities: ArrayLike, outcomes: ArrayLike, clusters: ArrayLike, num_bins: int = 10) -> Calibration:
    """Calibration of the likelier side, in bins of equal size.

    A comparison has no first and second side, so confidence is max(p, 1 - p) and swapping sides changes no number
    (Guo et al. 2017, section 2, with equal-mass bins).

    probabilities: (n,) that the first is preferred, in [0, 1]. outcomes: (n,) 1 where it was, 0 where the second was.
    clusters: (n,) prompts. Raises ValueError for no comparison.
    """
    p, y = np.asarray(probabilities, dtype=np.float64), np.asarray(outcomes, dtype=np.float64)
    labels = np.asarray(clusters)
    if not p.size:
        raise ValueError("calibration: expected at least one comparison, found none")
    confidence = np.maximum(p, 1 - p)
    right = np.where(p == 0.5, 0.5, (p > 0.5) == (y > 0.5))
    order = np.argsort(confidence, kind="stable")
    parts = [part for part in np.array_split(order, min(num_bins, p.size)) if part.size]
    bins = []
    for part in parts:
        found = clustered_mean(right[part], labels[part])
        bins.append(Bin(float(confidence[part].mean()), found.mean, found.low, found.high, int(part.size)))
    error = sum(abs(b.accuracy - b.confidence) * b.num_pairs for b in bins) / p.size
    of_outcome = np.clip(np.where(y > 0.5, p, 1 - p), 1e-12, 1.0)
    return Calibration(error, float(np.square(p - y).mean()), float(-np.log(of_outcome).mean()), tuple(bins))
