"""The losses of PPO, GRPO and RLOO: pure functions of tensors and numbers.

Every mean is taken over what the caller counts (completion tokens of the whole optimiser step), so that
splitting a batch into micro-batches changes no number: losses of the parts sum to the loss of the whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class PolicyLoss:
    """Scalars of one micro-batch; each is its share of a mean over the tokens of the whole optimiser step."""

    loss: Tensor  # to be minimised
    ratio_minus_one: Tensor  # mean of pi / pi_old - 1: exactly 0, however it is split, before any update
    clip_fraction: Tensor  # share of tokens whose ratio lies outside 1 +- clip_range
    approximate_kl: Tensor  # nats per token, mean of (log ratio)^2 / 2


@dataclass(frozen=True)
class ValueLoss:
    """Scalars of one micro-batch, as in PolicyLoss."""

    loss: Tensor
    clip_fraction: Tensor  # share of tokens where the clipped prediction has the larger error


def policy_loss(
    log_probabilities: Tensor,
    old_log_probabilities: Tensor,
    advantages: Tensor,
    completion_mask: Tensor,
    clip_range: float,
    num_tokens: int,
) -> PolicyLoss:
    """PPO's clipped surrogate, max(-A ratio, -A clip(ratio, 1 - e, 1 + e)), as a mean over tokens.

    Source: Schulman et al. 2017, equation 7, in the form of lm-human-preferences' `train_policy.py`.
    log_probabilities, old_log_probabilities (nats), advantages, completion_mask (True at completion tokens): (B, T).
    num_tokens: completion tokens of the whole optimiser step, not of this micro-batch. Padding adds nothing.
    """
    _assert_same_shape(log_probabilities, old_log_probabilities, advantages, completion_mask)
    log_ratio = (log_probabilities - old_log_probabilities).masked_fill(~completion_mask, 0.0)
    advantages = advantages.masked_fill(~completion_mask, 0.0)
    ratio = log_ratio.exp()
    losses = torch.maximum(-advantages * ratio, -advantages * ratio.clamp(1 - clip_range, 1 + clip_range))
    with torch.no_grad():
        clipped = ((ratio - 1).abs() > clip_range).sum() / num_tokens
        ratio_minus_one = (ratio - 1).sum() / num_tokens  # at padding the log ratio is 0
        approximate_kl = 0.5 * log_ratio.square().sum() / num_tokens
    return PolicyLoss(losses.sum() / num_tokens, ratio_minus_one, clipped, approximate_kl)


def value_loss(
    values: Tensor,
    old_values: Tensor,
    returns: Tensor,
    completion_mask: Tensor,
    clip_range: float,
    num_tokens: int,
) -> ValueLoss:
    """Clipped value loss, 0.5 max((V - R)^2, (clip(V, V_old - e, V_old + e) - R)^2), as a mean over tokens.

    Source: lm-human-preferences, `train_policy.py`. Arguments as in `policy_loss`; values in units of the score.
    """
    _assert_same_shape(values, old_values, returns, completion_mask)
    clipped_values = torch.maximum(torch.minimum(values, old_values + clip_range), old_values - clip_range)
    errors = (values - returns).square().masked_fill(~completion_mask, 0.0)
    clipped_errors = (clipped_values - returns).square().masked_fill(~completion_mask, 0.0)
    loss = 0.5 * torch.maximum(errors, clipped_errors).sum() / num_tokens
    return ValueLoss(loss, (clipped_errors > errors).sum() / num_tokens)


def kl_estimate(log_probabilities: Tensor, reference_log_probabilities: Tensor, estimator: str) -> Tensor:
    """Schulman's estimators of KL(pi || pi_ref) from samples of pi, with l = log pi - log pi_ref (2020, joschu.net).

    k1 = l; k2 = l^2 / 2; k3 = exp(-l) - 1 + l. k1 and k3 are unbiased, k2 and k3 are never negative. As a loss only k2
    has the gradient of the KL: that of k1 is 0 on average, that of k3 is the gradient of KL(pi_ref || pi).
    None is ever clamped. Any shape; returns the same, nats.
    """
    log_ratio = log_probabilities - reference_log_probabilities
    if estimator == "k1":
        return log_ratio
    if estimator == "k2":
        return 0.5 * log_ratio.square()
    assert estimator == "k3", estimator
    return torch.expm1(-log_ratio) + log_ratio


def grpo_loss(
    log_probabilities: Tensor,
    old_log_probabilities: Tensor,
    reference_log_probabilities: Tensor,
    advantages: Tensor,
    completion_mask: Tensor,
    token_weights: Tensor,
    clip_range: float,
    kl_coefficient: float,
    kl_estimator: str,
) -> PolicyLoss:
    """GRPO: the clipped surrogate with one advantage per completion, and the KL to the reference as a second term.

    Source: Shao et al. 2024 (2402.03300), equations 3 and 4. log_probabilities, old_, reference_ (nats),
    completion_mask, token_weights: (B, T). advantages: (B,). token_weights sum to 1 over the whole optimiser step:
    1 / tokens for a mean over tokens, 1 / (completions x own tokens) for a mean over completions.
    """
    _assert_same_shape(
        log_probabilities, old_log_probabilities, reference_log_probabilities, completion_mask, token_weights
    )
    assert advantages.shape == log_probabilities.shape[:1], (advantages.shape, log_probabilities.shape)
    weights = token_weights.masked_fill(~completion_mask, 0.0)
    log_ratio = (log_probabilities - old_log_probabilities).masked_fill(~completion_mask, 0.0)
    ratio, gain = log_ratio.exp(), advantages[:, None]
    losses = torch.maximum(-gain * ratio, -gain * ratio.clamp(1 - clip_range, 1 + clip_range))
    if kl_coefficient:
        reference = reference_log_probabilities.masked_fill(~completion_mask, 0.0)
        own = log_probabilities.masked_fill(~completion_mask, 0.0)
        losses = losses + kl_coefficient * kl_estimate(own, reference, kl_estimator)
    with torch.no_grad():
        clipped = (((ratio - 1).abs() > clip_range) * weights).sum()
        ratio_minus_one = ((ratio - 1) * weights).sum()
        approximate_kl = 0.5 * (log_ratio.square() * weights).sum()
    return PolicyLoss((losses * weights).sum(), ratio_minus_one, clipped, approximate_kl)


def rloo_loss(
    log_probabilities: Tensor,
    old_log_probabilities: Tensor,
    advantages: Tensor,
    completion_mask: Tensor,
    clip_range: float,
    num_completions: int,
) -> PolicyLoss:
    """RLOO: a completion is one action; the clipped surrogate of its whole ratio, as a mean over completions.

    Source: Ahmadian et al. 2024 (2402.14740), equation 8, off-policy as in PPO; before any update its gradient is
    REINFORCE's, -A grad log pi(completion). Arguments as in `grpo_loss`. num_completions: of the whole optimiser step.
    """
    _assert_same_shape(log_probabilities, old_log_probabilities, completion_mask)
    assert advantages.shape == log_probabilities.shape[:1], (advantages.shape, log_probabilities.shape)
    log_ratio = (log_probabilities - old_log_probabilities).masked_fill(~completion_mask, 0.0).sum(1)  # (B,)
    ratio = log_ratio.exp()
    losses = torch.maximum(-advantages * ratio, -advantages * ratio.clamp(1 - clip_range, 1 + clip_range))
    with torch.no_grad():
        clipped = ((ratio - 1).abs() > clip_range).sum() / num_completions
        ratio_minus_one = (ratio - 1).sum() / num_completions
        approximate_kl = 0.5 * log_ratio.square().sum() / num_completions
    return PolicyLoss(losses.sum() / num_completions, ratio_minus_one, clipped, approximate_kl)


def _assert_same_shape(*tensors: Tensor) -> None:
    assert all(tensor.shape == tensors[0].shape and tensor.dim() == 2 for tensor in tensors), [t.shape for t in tensors]
