"""What a reward model's numbers mean: accuracy on held-out rankings, and the ceiling that label noise allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from rlhf.learning.records import comparisons
from rlhf.learning.stats.intervals import Estimate, clustered_mean


@dataclass(frozen=True)
class ScoredRanking:
    """One labeler's ranking of completions of one prompt, and a reward model's scores of the same completions."""

    prompt_id: int
    ranks: Sequence[int]  # 1 is best, equal numbers are ties
    scores: Sequence[float]


def accuracy(rankings: Sequence[ScoredRanking], confidence: float = 0.95) -> Estimate | None:
    """Share of comparisons that the scores order as the labeler did; clusters are prompts.

    Comparisons that the labeler tied are left out; equal scores count one half. None where no comparison is left.
    """
    outcomes: list[float] = []
    prompt_ids: list[int] = []
    for ranking in rankings:
        assert len(ranking.ranks) == len(ranking.scores), (ranking.ranks, ranking.scores)
        pairs = comparisons(ranking.ranks)
        for winner, loser in zip(pairs.winners, pairs.losers, strict=True):
            better, worse = ranking.scores[winner], ranking.scores[loser]
            outcomes.append(0.5 if better == worse else float(better > worse))
            prompt_ids.append(ranking.prompt_id)
    return clustered_mean(outcomes, prompt_ids, confidence) if outcomes else None


def noise_ceiling(probabilities: ArrayLike, prompt_ids: ArrayLike, confidence: float = 0.95) -> Estimate:
    """E[max(p, 1 - p)]: the accuracy of a judge that knows every comparison's true probability p; clusters are prompts.

    probabilities: (n,), that a labeler prefers the one to the other. No accuracy on those labels is expected above it.
    """
    chances = np.asarray(probabilities, dtype=np.float64)
    return clustered_mean(np.maximum(chances, 1 - chances), prompt_ids, confidence)
