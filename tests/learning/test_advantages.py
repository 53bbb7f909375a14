"""Rewards, GAE, whitening and the KL controller: hand-worked numbers and properties."""

import pytest
import torch

from rlhf.learning.advantages import (
    explained_variance,
    generalized_advantages,
    next_kl_coefficient,
    token_rewards,
    whiten,
)

MASK = torch.tensor([[True, True, True, True], [True, True, False, False], [True, False, False, False]])


def _random(seed: int) -> torch.Tensor:
    return torch.randn(3, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_rewards_of_a_completion_sum_to_score_minus_beta_times_its_kl() -> None:
    scores = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    log_probabilities, reference = _random(0), _random(1)
    rewards = token_rewards(scores, log_probabilities, reference, MASK, 0.3)
    kl = torch.where(MASK, log_probabilities - reference, 0.0).sum(1)
    torch.testing.assert_close(rewards.sum(1), scores - 0.3 * kl)


def test_the_score_is_added_at_the_last_real_token_and_nowhere_else() -> None:
    scores = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    rewards = token_rewards(scores, _random(0), _random(0), MASK, 0.3)
    assert rewards.tolist() == [[0, 0, 0, 1.0], [0, 2.0, 0, 0], [3.0, 0, 0, 0]]


def test_the_penalty_lowers_the_reward_where_the_policy_is_likelier_than_the_reference() -> None:
    rewards = token_rewards(torch.zeros(1), torch.zeros(1, 2), torch.tensor([[-1.0, 1.0]]), MASK[:1, :2], 0.1)
    assert rewards.tolist() == [[pytest.approx(-0.1), pytest.approx(0.1)]]


def test_advantages_by_hand() -> None:
    # gamma 0.5, lambda 0.5; rewards 1, 0, 2; values 1, 2, 4. Deltas: 1 + 1 - 1 = 1; 0 + 2 - 2 = 0; 2 + 0 - 4 = -2.
    # Advantages backwards: -2; 0 + 0.25 * -2 = -0.5; 1 + 0.25 * -0.5 = 0.875. Returns: 1.875, 1.5, 2.
    rewards = torch.tensor([[1.0, 0.0, 2.0]], dtype=torch.float64)
    values = torch.tensor([[1.0, 2.0, 4.0]], dtype=torch.float64)
    advantages, returns = generalized_advantages(rewards, values, torch.ones(1, 3, dtype=torch.bool), 0.5, 0.5)
    assert advantages.tolist() == [[0.875, -0.5, -2.0]]
    assert returns.tolist() == [[1.875, 1.5, 2.0]]


def test_undiscounted_with_lambda_one_the_return_is_the_sum_of_the_rewards_to_come() -> None:
    rewards = _random(0)
    _, returns = generalized_advantages(rewards, _random(1), MASK, 1.0, 1.0)
    to_come = torch.where(MASK, rewards, 0.0).flip(1).cumsum(1).flip(1)
    torch.testing.assert_close(returns[MASK], to_come[MASK])


def test_rubbish_in_the_padding_reaches_no_advantage() -> None:
    rewards, values = _random(0), _random(1)
    clean = generalized_advantages(rewards, values, MASK, 1.0, 0.95)
    dirty = generalized_advantages(rewards.masked_fill(~MASK, 1e9), values.masked_fill(~MASK, -1e9), MASK, 1.0, 0.95)
    assert torch.equal(clean[0], dirty[0]) and torch.equal(clean[1], dirty[1])
    assert not clean[0][~MASK].any()


def test_more_padding_changes_no_advantage() -> None:
    pad = torch.nn.functional.pad
    short = generalized_advantages(_random(0), _random(1), MASK, 1.0, 0.95)[0]
    long = generalized_advantages(pad(_random(0), (0, 3)), pad(_random(1), (0, 3)), pad(MASK, (0, 3)), 1.0, 0.95)[0]
    assert torch.equal(short, long[:, :4])


def test_whitened_advantages_have_masked_mean_zero_and_biased_variance_one() -> None:
    whitened = whiten(_random(0) * 3 + 5, MASK, shift_mean=True)
    assert whitened[MASK].mean().item() == pytest.approx(0, abs=1e-12)
    assert whitened[MASK].var(correction=0).item() == pytest.approx(1, abs=1e-7)
    assert not whitened[~MASK].any()


def test_whitened_rewards_keep_their_mean() -> None:
    values = _random(0) * 3 + 5
    whitened = whiten(values, MASK, shift_mean=False)
    assert whitened[MASK].mean().item() == pytest.approx(values[MASK].mean().item())
    assert whitened[MASK].var(correction=0).item() == pytest.approx(1, abs=1e-7)


def test_whitening_sees_no_padding() -> None:
    values = _random(0)
    assert torch.equal(whiten(values, MASK, True), whiten(values.masked_fill(~MASK, 1e9), MASK, True))


def test_explained_variance_is_one_for_perfect_and_zero_for_constant_values() -> None:
    returns = _random(0)
    assert explained_variance(returns, returns, MASK).item() == pytest.approx(1)
    assert explained_variance(torch.zeros_like(returns), returns, MASK).item() == pytest.approx(0)


@pytest.mark.parametrize(
    ("kl", "expected"),
    [
        (6.0, 0.1),  # at the target
        (6.6, 0.1 * (1 + 0.1 * 0.02)),
        (600.0, 0.1 * (1 + 0.2 * 0.02)),  # clipped
        (0.0, 0.1 * (1 - 0.2 * 0.02)),
    ],
)
def test_the_kl_coefficient_follows_the_kl_by_at_most_a_fifth(kl: float, expected: float) -> None:
    assert next_kl_coefficient(0.1, kl, target=6.0, horizon=10_000, num_episodes=200) == pytest.approx(expected)
