"""Synthetic unit scores of many versions: strengths that differ, prompts that differ in difficulty, ties."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TIES = 0.15
RHO = 0.6  # deviation of what a prompt adds to a version's strength, in logits: comparisons of a prompt move together


@dataclass(frozen=True)
class Scores:
    """One verdict of each of J judges on each of Q pairs of M versions and each of P prompts."""

    first: NDArray[np.int64]  # (Q,) index of the candidate
    second: NDArray[np.int64]  # (Q,) of the baseline, always the earlier version
    scores: NDArray[np.float64]  # (J, P, Q) of the candidate

    def rows(self, judge: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Prompts, candidates, baselines and scores of one judge, a verdict per row."""
        num_prompts, num_pairs = self.scores.shape[1:]
        prompts = np.repeat(np.arange(num_prompts), num_pairs)
        return prompts, np.tile(self.first, num_prompts), np.tile(self.second, num_prompts), self.scores[judge].ravel()


def make(*, num_versions: int, num_prompts: int, num_judges: int, seed: int = 0) -> Scores:
    random = np.random.default_rng(seed)
    second, first = np.triu_indices(num_versions, k=1)
    strengths = np.linspace(0, 1, num_versions) + random.normal(0, 0.1, (num_judges, num_versions))
    of_prompt = strengths[:, None, :] + RHO * random.normal(size=(num_judges, num_prompts, num_versions))
    chance = 1 / (1 + np.exp(of_prompt[:, :, second] - of_prompt[:, :, first]))
    scores = (random.random(chance.shape) < chance).astype(np.float64)
    scores[random.random(chance.shape) < TIES] = 0.5
    return Scores(first.astype(np.int64), second.astype(np.int64), scores)
