"""Unit scores: what a judge's verdicts on one prompt come to. Nothing heavy is imported: pages count as runs do.

Every mean is taken of deviations from one half and rounded to a grid, so that swapping candidate and baseline gives
exactly 1 - score, and the mean of listed unit scores is, to the bit, the win rate that an estimate run wrote.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

GRID = 2.0**52  # deviations from one half are rounded to 1 / GRID, on which 1 - x is exact


@dataclass(frozen=True)
class Verdict:
    """One judgement of a candidate's completion against the baseline's."""

    evaluation_id: int
    judge_id: int
    prompt_id: int
    split: str
    score: float  # of the candidate: 1 won, 0.5 tie, 0 lost; a probability is taken as it is
    rater: str = ""
    position: str = "none"  # which answer was shown first: candidate_first, baseline_first or none
    replicate: int = 0


def unit_scores(prompt_ids: Sequence[int], scores: Sequence[float]) -> dict[int, float]:
    """Collapse verdicts to one score per prompt: the mean over raters, orders and replicates."""
    scores_of_prompt: dict[int, list[float]] = defaultdict(list)
    for prompt_id, score in zip(prompt_ids, scores, strict=True):
        scores_of_prompt[prompt_id].append(score - 0.5)  # deviations, so that a swap changes only signs
    return {prompt_id: from_half(mean_deviation(values)) for prompt_id, values in scores_of_prompt.items()}


def unsettled(verdicts: Iterable[Verdict]) -> set[int]:
    """The prompts on which somebody named another winner when the answers changed places."""
    winners: dict[tuple[int, str, int], dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    for verdict in verdicts:
        key = (verdict.prompt_id, verdict.rater, verdict.replicate)
        winners[key][verdict.position].add((verdict.score > 0.5) - (verdict.score < 0.5))
    return {
        key[0]
        for key, of_position in winners.items()
        if {"candidate_first", "baseline_first"} <= of_position.keys()
        and of_position["candidate_first"] != of_position["baseline_first"]
    }


def mean_score(scores: Sequence[float]) -> float:
    """The win rate that unit scores come to. Raises ValueError for none."""
    if not scores:
        raise ValueError("mean of unit scores: expected at least one, found none")
    return from_half(mean_deviation([score - 0.5 for score in scores]))


def mean_deviation(deviations: Sequence[float]) -> float:
    """Mean of deviations from one half, summed without rounding on the way."""
    return math.fsum(deviations) / len(deviations)


def from_half(deviation: float) -> float:
    """0.5 + deviation, rounded so that from_half(-x) is exactly 1 - from_half(x)."""
    return 0.5 + round(deviation * GRID) / GRID
