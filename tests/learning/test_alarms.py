"""Every alarm has numbers that raise it and numbers that don't, and says why in a line."""

from __future__ import annotations

import pytest
import torch

from rlhf.learning.alarms import CHECKS, check
from rlhf.learning.diagnostics import correlation, gap_per_token, repetition, truncated_share
from rlhf.learning.sampling import Prompt

HEALTHY = {
    "first_approximate_kl": 0.0,
    "sampler_gap_per_token": 1e-6,
    "truncated_prompts": 0.0,
    "kl": 1.0,
    "kl_coefficient": 0.1,
    "length": 25.0,
    "score": 0.2,
    "held_out_score": 0.1,
    "length_correlation": 0.3,
    "eos_rate": 0.95,
    "entropy": 1.2,
    "repetition": 0.05,
    "explained_variance": 0.3,
}
AILMENTS = {
    "first ratio is not 1": {"first_approximate_kl": 1e-3},
    "sampler and trainer disagree": {"sampler_gap_per_token": 0.2},
    "prompts are truncated": {"truncated_prompts": 0.5},
    "KL budget is spent": {"kl": 9.0},
    "nothing holds the policy": {"kl_coefficient": 0.0},
    "held-out reward does not follow": {"score": 2.0, "held_out_score": 0.3},
    "length drifts": {"length": 60.0, "kl": 2.0},
    "reward is length": {"length_correlation": 0.95},
    "answers no longer end": {"eos_rate": 0.4},
    "entropy collapses": {"entropy": 0.1},
    "answers repeat themselves": {"repetition": 0.6},
    "value model explains nothing": {"explained_variance": -2.0},
}


def names(*lines: dict[str, float]) -> list[str]:
    return [alarm.name for alarm in check(lines)]


def test_every_alarm_is_in_this_test() -> None:
    assert [rule.name for rule in CHECKS] == list(AILMENTS)


@pytest.mark.parametrize("name", sorted(AILMENTS))
def test_an_ailment_raises_its_own_alarm_and_no_other(name: str) -> None:
    ill = HEALTHY | AILMENTS[name]
    run = [HEALTHY, *[ill] * 9]
    assert names(*run) == [name]
    (alarm,) = check(run)
    assert "\n" not in str(alarm) and alarm.cause and alarm.advice and str(alarm).startswith(name)


def test_a_healthy_run_raises_none() -> None:
    assert names(*[HEALTHY | {"score": 0.2 + 0.1 * i, "held_out_score": 0.1 + 0.08 * i} for i in range(12)]) == []


def test_a_drift_needs_more_than_one_odd_iteration_and_growth_as_well_as_shrinking_is_one() -> None:
    assert names(HEALTHY, HEALTHY, HEALTHY, HEALTHY | {"length": 60.0}) == []
    once = HEALTHY | {"length_correlation": 0.95}
    assert names(HEALTHY, HEALTHY, HEALTHY, once) == [] and names(once, once) == []
    short = HEALTHY | {"length": 10.0}
    assert names(HEALTHY, short, short, short) == ["length drifts"]


def test_a_value_model_may_be_worse_than_a_constant_while_it_is_new() -> None:
    new = HEALTHY | {"explained_variance": -2.0}
    assert names(*[new] * 9) == [] and names(*[new] * 10) == ["value model explains nothing"]


def test_without_a_penalty_a_policy_that_stays_is_no_alarm_and_with_one_a_policy_that_moves_is_none() -> None:
    free = HEALTHY | {"kl_coefficient": 0.0, "kl": 0.5}
    assert names(HEALTHY, *[free] * 3) == []
    assert names(HEALTHY, *[free | {"kl": 1.0, "kl_coefficient": 0.02}] * 3) == []


def test_metrics_that_a_stage_does_not_log_raise_nothing() -> None:
    assert names(*[{"loss": 1.0}] * 5) == []


def test_a_gain_that_a_held_out_reward_model_follows_is_no_alarm() -> None:
    better = HEALTHY | {"score": 2.0, "held_out_score": 1.6}
    assert names(HEALTHY, better, better, better) == []


def test_repetition_counts_n_grams_that_came_before() -> None:
    ids = torch.tensor([[1, 2, 3, 1, 2, 3], [1, 2, 3, 4, 5, 6], [7, 7, 9, 9, 9, 9]])
    mask = torch.tensor([[True] * 6, [True] * 6, [True] * 2 + [False] * 4])
    assert repetition(ids[:1], mask[:1]) == pytest.approx(0.25)  # 123, 231, 312, 123
    assert repetition(ids[1:2], mask[1:2]) == 0
    assert repetition(ids[2:], mask[2:]) == 0  # too short; padding isn't looked at


def test_correlation_gap_and_truncation_by_hand() -> None:
    one = torch.tensor([1.0, 2.0, 3.0])
    assert correlation(one, -2 * one) == pytest.approx(-1) and correlation(one, torch.ones(3)) == 0
    gap = gap_per_token(torch.tensor([-4.0, -3.0]), torch.tensor([-5.0, -3.0]), torch.tensor([2, 3]))
    assert gap == pytest.approx(0.25)
    assert truncated_share([Prompt(0, [1, 2, 3]), Prompt(1, [1])], 3) == 0.5
