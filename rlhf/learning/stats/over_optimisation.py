"""The alarm of over-optimisation: a reward model goes on praising what an independent judge no longer prefers.

It looks at how two judges of the same prompts drift apart, because one curve alone can't tell a better policy from
one that has learned the reward model's mistakes. The independent judge is one that nothing was trained against: people,
an LLM, or a reward model that no version has seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from rlhf.learning.stats.intervals import clustered_mean, interval

LONGER = 1.2  # mean length of the candidate's answers over the baseline's, from which the sentence says so


@dataclass(frozen=True)
class Alarm:
    """One comparison on which reward model and independent judge disagree."""

    level: Literal["red", "amber"]
    difference: float  # win rate by the reward model less that by the independent judge, -1 to 1
    low: float
    high: float
    reward_win_rate: float
    win_rate: float  # by the independent judge
    win_rate_low: float
    win_rate_high: float
    sentence: str


def over_optimisation(
    reward: ArrayLike,
    independent: ArrayLike,
    prompts: ArrayLike,
    reward_judge: str,
    judge: str,
    step: int = 1,
    length_ratio: float | None = None,
    confidence: float = 0.95,
) -> Alarm | None:
    """Red, amber or no alarm from the unit scores of a new version against the best one before it, paired by prompt.

    With difference = mean(reward - independent) over the prompts that both judged, clustered by prompt: there is an
    alarm where the difference's lower bound is above 0 and the reward model's win rate above 1/2, and the independent
    judge's lower bound isn't above 1/2. It is red where that judge's upper bound is below 1/2, else amber. An
    independent judge that prefers the new version too raises none, however much further the reward model goes.

    The upper bound that makes it red is taken at 1 - a_t with a_t = (1 - confidence) 6 / (pi^2 t^2), as promotion is:
    so versions that are as good as the best one before turn red in at most half of 1 - confidence of all projects,
    over a project's whole life and whatever the reward model says of them. All other bounds are at `confidence`.

    reward, independent: (n,) unit scores of the candidate, 0 to 1. prompts: (n,) labels, the clusters. reward_judge,
    judge: names for the sentence. step: t, how many versions of the project have been compared, this one included.
    length_ratio: mean characters of candidate over baseline. Raises ValueError for no prompts, scores outside, or a
    step below 1.
    """
    if step < 1:
        raise ValueError(f"over-optimisation: expected a step of 1 or more, found {step}")
    praise, other = np.asarray(reward, dtype=np.float64), np.asarray(independent, dtype=np.float64)
    by_reward, by_judge = clustered_mean(praise, prompts, confidence), clustered_mean(other, prompts, confidence)
    # Half of (difference + 1) lies in [0, 1], where clustered_mean knows what to do with few or equal prompts.
    halved = clustered_mean((praise - other + 1) / 2, prompts, confidence)
    if halved.low <= 0.5 or by_reward.mean <= 0.5 or by_judge.low > 0.5:
        return None
    spent = (1 - confidence) * 6 / (math.pi * step) ** 2
    _, bound = interval(by_judge.mean, by_judge.standard_error, by_judge.num_clusters, 1 - spent)
    level: Literal["red", "amber"] = "red" if bound < 0.5 else "amber"
    return Alarm(
        level=level,
        difference=2 * halved.mean - 1,
        low=2 * halved.low - 1,
        high=2 * halved.high - 1,
        reward_win_rate=by_reward.mean,
        win_rate=by_judge.mean,
        win_rate_low=by_judge.low,
        win_rate_high=by_judge.high,
        sentence=_sentence(level, by_reward.mean, by_judge.mean, reward_judge, judge, length_ratio),
    )


def _sentence(
    level: str, reward_rate: float, rate: float, reward_judge: str, judge: str, length_ratio: float | None
) -> str:
    longer = ""
    if length_ratio is not None and length_ratio >= LONGER:
        longer = f" with answers {100 * (length_ratio - 1):.0f} % longer"
    if level == "red":
        cause = f"this version{longer} has learned mistakes of {reward_judge} and is worse by {judge}"
        advice = "go back to the older one and train the reward model on comparisons of this one's answers"
    else:
        cause = f"the gain{longer} isn't confirmed by {judge} and may be mistakes of {reward_judge}"
        advice = "judge more prompts by people, and raise the KL coefficient or stop earlier"
    rates = f"{100 * reward_rate:.0f} % by {reward_judge}, {100 * rate:.0f} % by {judge}"
    return f"{rates}: {cause}; {advice}."
