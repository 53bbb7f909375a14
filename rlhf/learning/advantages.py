"""From scores and log-probabilities to rewards, advantages and returns, and the controller of the KL penalty.

Masks are completion masks: True at the completion's tokens, end-of-text included. Padding never adds to a number.
"""

from __future__ import annotations

import torch
from torch import Tensor


def token_rewards(
    scores: Tensor,
    log_probabilities: Tensor,
    reference_log_probabilities: Tensor,
    completion_mask: Tensor,
    kl_coefficient: float,
) -> Tensor:
    """Per-token rewards: -beta (log pi - log pi_ref) at every token, and the score at the last real token.

    Source: lm-human-preferences, `train_policy.py`, compute_rewards. A row sums to score - beta * KL.

    scores: (B,), of whole completions. log_probabilities, reference_log_probabilities (nats), completion_mask: (B,
    T), every row with at least one token, tokens first and padding after. Returns (B, T).
    """
    assert log_probabilities.shape == reference_log_probabilities.shape == completion_mask.shape, (
        log_probabilities.shape,
        completion_mask.shape,
    )
    assert scores.shape == log_probabilities.shape[:1], (scores.shape, log_probabilities.shape)
    rewards = (-kl_coefficient * (log_probabilities - reference_log_probabilities)).masked_fill(~completion_mask, 0.0)
    last = completion_mask.sum(1, keepdim=True) - 1  # (B, 1)
    return rewards.scatter_add(1, last, scores[:, None].to(rewards.dtype))


def generalized_advantages(
    rewards: Tensor, values: Tensor, completion_mask: Tensor, gamma: float, gae_lambda: float
) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimation: A_t = delta_t + gamma lambda A_{t+1}, delta_t = r_t + gamma V_{t+1} - V_t.

    Source: Schulman et al. 2016, equation 16; the value after the last token is 0. Returns are A + V, taken before any
    whitening. One step per position, all rows at once.

    rewards, values (values[:, t] is read before token t), completion_mask: (B, T). Returns (advantages, returns):
    (B, T).
    """
    assert rewards.shape == values.shape == completion_mask.shape, (rewards.shape, values.shape, completion_mask.shape)
    rewards = rewards.masked_fill(~completion_mask, 0.0)
    values = values.masked_fill(~completion_mask, 0.0)
    next_values = torch.cat([values[:, 1:], values.new_zeros(len(values), 1)], dim=1)
    deltas = rewards + gamma * next_values - values
    advantages = torch.zeros_like(deltas)
    running = deltas.new_zeros(len(deltas))  # (B,)
    for position in reversed(range(deltas.shape[1])):
        running = deltas[:, position] + gamma * gae_lambda * running
        advantages[:, position] = running
    return advantages, advantages + values


def group_advantages(rewards: Tensor, group_size: int, leave_one_out: bool, scale: bool) -> Tensor:
    """Advantages of completions over the others of the same prompt.

    GRPO (2402.03300, section 4.1.2): r - mean, over the group's standard deviation (n - 1) where `scale`. RLOO
    (2402.14740, equation 9), where `leave_one_out`: r - the mean of the other G - 1. A group of equal rewards gets 0.

    rewards: (B,), groups one after the other. group_size: G, 2 or more. Returns (B,).
    """
    assert rewards.dim() == 1 and group_size >= 2 and len(rewards) % group_size == 0, (rewards.shape, group_size)
    groups = rewards.reshape(-1, group_size)
    advantages = groups - groups.mean(1, keepdim=True)
    advantages = advantages.masked_fill((groups == groups[:, :1]).all(1, keepdim=True), 0.0)  # no rounding of the mean
    if leave_one_out:
        advantages = advantages * (group_size / (group_size - 1))
    if scale:
        advantages = advantages / (groups.std(1, keepdim=True) + 1e-4)
    return advantages.reshape(-1)


def whiten(values: Tensor, mask: Tensor, shift_mean: bool) -> Tensor:
    """Scale to masked variance 1 (biased, as tf.moments), and to masked mean 0 where shift_mean; else the mean is kept.

    Source: lm-human-preferences, `utils/core.py`, whiten. Rewards keep their mean, advantages don't.
    values, mask: one shape, every iteration's tokens together. Returns the same shape, 0 outside the mask.
    """
    assert values.shape == mask.shape, (values.shape, mask.shape)
    mean = values[mask].mean()
    variance = (values[mask] - mean).square().mean()
    whitened = (values - mean) * torch.rsqrt(variance + 1e-8)
    if not shift_mean:
        whitened = whitened + mean
    return whitened.masked_fill(~mask, 0.0)


def explained_variance(values: Tensor, returns: Tensor, mask: Tensor) -> Tensor:
    """1 - var(returns - values) / var(returns) over the mask: 1 is a perfect value model, 0 a constant one. Scalar."""
    assert values.shape == returns.shape == mask.shape, (values.shape, returns.shape, mask.shape)
    variance = returns[mask].var(correction=0)
    return 1 - (returns - values)[mask].var(correction=0) / variance.clamp(min=1e-12)


def next_kl_coefficient(coefficient: float, kl: float, target: float, horizon: int, num_episodes: int) -> float:
    """Adaptive controller: beta (1 + clip(KL / target - 1, -0.2, 0.2) n / horizon).

    Source: Ziegler et al. 2019, section 2.2, and lm-human-preferences. kl, target: nats per completion (the sum over
    its tokens, not their mean). horizon, num_episodes: completions.
    """
    error = min(max(kl / target - 1, -0.2), 0.2)
    return coefficient * (1 + error * num_episodes / horizon)
