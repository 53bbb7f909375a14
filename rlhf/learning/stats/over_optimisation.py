"""The alarm of over-optimisation: a reward model goes on praising what an independent judge no longer prefers.

It looks at how two judges of the same prompts drift apart, because one curve alone can't tell a better policy from
one that has learned the reward model's mistakes. The independent judge is one that nothing was trained against: people,
an LLM, or a reward model that no version has seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from rlhf.learning.stats.intervals import clustered_mean

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
    length_ratio: float | None = None,
    confidence: float = 0.95,
) -> Alarm | None:
    """Red, amber or no alarm from the unit scores of a new version against an older one, paired by prompt.

    With difference = mean(reward - independent) over the prompts that both judged, clustered by prompt: there is an
    alarm where the difference's lower bound is above 0 and the reward model's win rate above 1/2; it is red where the
    independent judge's upper bound is below 1/2, amber where its interval holds 1/2. An independent judge that prefers
    the new version too raises none, however much further the reward model goes.

    reward, independent: (n,) unit scores of the candidate, 0 to 1. prompts: (n,) labels, the clusters. reward_judge,
    judge: names for the sentence. length_ratio: mean characters of candidate over baseline. Raises ValueError for no
    prompts or scores outside.
    """
    praise, other = np.asarray(reward, dtype=np.float64), np.asarray(independent, dtype=np.float64)
    by_reward, by_judge = clustered_mean(praise, prompts, confidence), clustered_mean(other, prompts, confidence)
    # Half of (difference + 1) lies in [0, 1], where clustered_mean knows what to do with few or equal prompts.
    halved = clustered_mean((praise - other + 1) / 2, prompts, confidence)
    low, high = 2 * halved.low - 1, 2 * halved.high - 1
    if low <= 0 or by_reward.mean <= 0.5 or by_judge.low > 0.5:
        return None
    level: Literal["red", "amber"] = "red" if by_judge.high < 0.5 else "amber"
    return Alarm(
        level=level,
        difference=2 * halved.mean - 1,
        low=low,
        high=high,
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
        cause = f"{judge} prefers the older version, so this one{longer} has learned mistakes of {reward_judge}"
        advice = "go back to the older version and train the reward model on comparisons of this one's answers"
    else:
        cause = f"{judge} can't tell the versions apart, so the gain{longer} may be mistakes of {reward_judge}"
        advice = "judge more prompts by people, and raise the KL coefficient or stop earlier"
    rates = f"{100 * reward_rate:.0f} % by {reward_judge}, {100 * rate:.0f} % by {judge}"
    return f"{rates}: {cause}; {advice}."
