"""Win rates from verdicts: a tie is half, a prompt counts once however often it was judged, prompts are the clusters.

Verdicts of one (evaluation, judge, prompt) collapse to a unit score, the mean over raters, orders and replicates;
the win rate is the mean of the unit scores. Swapping candidate and baseline gives exactly 1 - rate, 1 - high, 1 -
low.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from rlhf.learning.stats.intervals import clustered_mean
from rlhf.learning.stats.units import Verdict, unit_scores, unsettled

SPLITS = ("held_out", "train", "all")


@dataclass(frozen=True)
class WinRate:
    """The win rate of a candidate over a baseline; wins, ties and losses count verdicts, unsettled counts prompts."""

    num_prompts: int
    num_verdicts: int
    wins: int
    ties: int
    losses: int
    unsettled: int
    win_rate: float
    standard_error: float
    low: float
    high: float


def win_rate(
    prompt_ids: Sequence[int], scores: Sequence[float], confidence: float = 0.95, num_unsettled: int = 0
) -> WinRate:
    """The win rate over prompts with its clustered interval (`clustered_mean` of the unit scores).

    prompt_ids, scores: (num_verdicts,), scores from 0 to 1. Raises ValueError for no verdicts or a score outside.
    """
    units = unit_scores(prompt_ids, scores)
    estimate = clustered_mean(list(units.values()), list(units), confidence)
    outcomes = np.asarray(scores, dtype=np.float64)
    return WinRate(
        num_prompts=len(units),
        num_verdicts=len(outcomes),
        wins=int((outcomes > 0.5).sum()),
        ties=int((outcomes == 0.5).sum()),
        losses=int((outcomes < 0.5).sum()),
        unsettled=num_unsettled,
        win_rate=estimate.mean,
        standard_error=estimate.standard_error,
        low=estimate.low,
        high=estimate.high,
    )


def win_rates(verdicts: Iterable[Verdict], confidence: float = 0.95) -> dict[tuple[int, int, str], WinRate]:
    """Win rate of every (evaluation, judge, split); a split without verdicts has no entry, "all" takes every split."""
    groups: dict[tuple[int, int, str], list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        groups[verdict.evaluation_id, verdict.judge_id, verdict.split].append(verdict)
        groups[verdict.evaluation_id, verdict.judge_id, "all"].append(verdict)
    keys = sorted(groups, key=lambda key: (key[0], key[1], SPLITS.index(key[2])))
    return {key: _of_group(groups[key], confidence) for key in keys}


def _of_group(verdicts: Sequence[Verdict], confidence: float) -> WinRate:
    prompt_ids, scores = [verdict.prompt_id for verdict in verdicts], [verdict.score for verdict in verdicts]
    return win_rate(prompt_ids, scores, confidence, len(unsettled(verdicts)))
