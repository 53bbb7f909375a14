"""How far the rewards of later versions have moved, under one reward model and on the same prompts.

Rewards of two reward models aren't comparable, and a reward's zero means nothing: everything but the raw columns is
measured in standard deviations of the first version's rewards, or in ranks among them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import wasserstein_distance

QUANTILES = tuple(k / 20 for k in range(21))  # least, 5 %, ... 95 %, greatest
TAIL = 0.99
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Rewards:
    """The rewards of one version's answers by one reward model."""

    num: int
    mean: float
    sd: float  # of rewards, with n - 1; 0 for a single one
    quantiles: tuple[float, ...]  # 21, by QUANTILES, linear between order statistics
    standard_mean: float | None  # (mean - first's mean) / first's sd; None: the first version has no spread
    wasserstein: float | None  # Wasserstein-1 distance to the first version, in its standard deviations
    ks: float  # greatest difference of the distribution functions, Kolmogorov-Smirnov, 0 to 1
    share_above_p99: float  # share of rewards above the first version's 99th percentile


def reward_shift(rewards: Mapping[int, ArrayLike]) -> dict[int, Rewards]:
    """By version, in the order given; the first one is what the others are measured by.

    rewards: per version (n,) raw rewards of one reward model, n may differ. Raises ValueError for a version without
    rewards, or one that isn't finite.
    """
    arrays = {version: np.asarray(values, dtype=np.float64).ravel() for version, values in rewards.items()}
    for version, values in arrays.items():
        if not values.size or not np.isfinite(values).all():
            raise ValueError(f"reward shift: expected finite rewards of version {version}, found {values.size} or nan")
    first = next(iter(arrays.values()), None)
    return {} if first is None else {version: _against(values, first) for version, values in arrays.items()}


def _against(values: Floats, first: Floats) -> Rewards:
    sd = _sd(first)
    return Rewards(
        num=values.size,
        mean=float(values.mean()),
        sd=_sd(values),
        quantiles=tuple(float(q) for q in np.quantile(values, QUANTILES)),
        standard_mean=float(values.mean() - first.mean()) / sd if sd > 0 else None,
        wasserstein=float(wasserstein_distance(values, first)) / sd if sd > 0 else None,
        ks=_distance(values, first),
        share_above_p99=float((values > np.quantile(first, TAIL)).mean()),
    )


def _distance(values: Floats, first: Floats) -> float:
    """max |F(x) - G(x)| of the empirical distribution functions, over all rewards (no test: scipy's computes one)."""
    places = np.concatenate([values, first])
    below = np.searchsorted(np.sort(values), places, side="right") / values.size
    other = np.searchsorted(np.sort(first), places, side="right") / first.size
    return float(np.abs(below - other).max())


def _sd(values: Floats) -> float:
    return float(np.std(values, ddof=1)) if values.size > 1 else 0.0
