"""The figures of AlpacaEval's leaderboard from its kind of rows, for comparison with what it publishes.

Win rate, standard error, wins, draws and mean length are its own definitions (tatsu-lab/alpaca_eval); the
length-controlled rate is `style_control`'s and differs from its one, see docs/evaluation.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from rlhf.learning.stats.intervals import clustered_mean
from rlhf.learning.stats.style_control import Controls, controls


@dataclass(frozen=True)
class Figures:
    """Of one candidate against the baseline, a prompt a row; rates 0 to 1."""

    num_prompts: int
    win_rate: float
    standard_error: float  # sd / sqrt(n), sd with n - 1
    wins: int  # preference above 1.5
    draws: int  # exactly 1.5
    losses: int
    mean_characters: float  # of the candidate's answers
    controls: Controls


def figures(preferences: ArrayLike, candidate: ArrayLike, baseline: ArrayLike, seed: int = 0) -> Figures:
    """All figures of n prompts.

    preferences: (n,), 1 where the baseline wins for sure to 2 where the candidate does. candidate, baseline: (n, 4)
    counts of their answers, columns as `style_control.STYLE`. Raises ValueError for no rows, unequal lengths or
    preferences outside (a missing one, nan, included).
    """
    scores = np.asarray(preferences, dtype=np.float64) - 1
    ours = np.asarray(candidate, dtype=np.float64)
    rate = clustered_mean(scores, np.arange(scores.size))
    return Figures(
        num_prompts=scores.size,
        win_rate=rate.mean,
        standard_error=rate.standard_error,
        wins=int((scores > 0.5).sum()),
        draws=int((scores == 0.5).sum()),
        losses=int((scores < 0.5).sum()),
        mean_characters=float(ours[:, 0].mean()),
        controls=controls(np.arange(scores.size), scores, ours, baseline, seed=seed),
    )
