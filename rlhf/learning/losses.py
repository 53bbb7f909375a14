"""The losses of the reward model and of PPO: pure functions of tensors and numbers.

Every mean is taken over what the caller counts (rankings or completion tokens of the whole optimiser step), so that
splitting a batch into micro-batches changes no number: losses of the parts sum to the loss of the whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class PolicyLoss:
    """Scalars of one micro-batch; each is its share of a mean over the tokens of the whole optimiser step."""

    loss: Tensor  # to be minimised
    ratio: Tensor  # mean of pi / pi_old
    clip_fraction: Tensor  # share of tokens whose ratio lies outside 1 +- clip_range
    approximate_kl: Tensor  # nats per token, mean of (log ratio)^2 / 2


@dataclass(frozen=True)
class ValueLoss:
    """Scalars of one micro-batch, as in PolicyLoss."""

    loss: Tensor
    clip_fraction: Tensor  # share of tokens where the clipped prediction has the larger error


def comparisons(ranks: Tensor, completion_mask: Tensor) -> Tensor:
    """Mark the K(K-1)/2 comparisons of each ranking; ties are dropped (InstructGPT, appendix C.2).

    ranks: (R, K) integers, 1 is best. completion_mask: (R, K) bool, True where a completion is.
    Returns (R, K, K) bool: True at [r, i, j] where completion i was ranked above completion j.
    """
    assert ranks.shape == completion_mask.shape and ranks.dim() == 2, (ranks.shape, completion_mask.shape)
    both = completion_mask[:, :, None] & completion_mask[:, None, :]
    return (ranks[:, :, None] < ranks[:, None, :]) & both


def pairwise_loss(
    scores: Tensor, ranks: Tensor, completion_mask: Tensor, weights: Tensor, total_weight: float
) -> Tensor:
    """Bradley-Terry loss of whole rankings: -log sigma(r_chosen - r_rejected).

    It is averaged over the comparisons of each ranking (1 / C(K, 2), fewer with ties), then by weight over
    rankings. All comparisons of a ranking are in one batch element, so K completions cost K forwards and a
    completion's gradient is taken once (InstructGPT, equation 1).

    scores, ranks, completion_mask: (R, K). weights: (R,). total_weight: sum of the weights of those rankings of the
    whole optimiser step that have a comparison; a ranking without one adds nothing. Returns a scalar, in nats.
    """
    assert scores.shape == ranks.shape and weights.shape == scores.shape[:1], (scores.shape, ranks.shape, weights.shape)
    above = comparisons(ranks, completion_mask)  # (R, K, K)
    scores = scores.masked_fill(~completion_mask, 0.0)
    differences = scores[:, :, None] - scores[:, None, :]  # (R, K, K)
    losses = -F.logsigmoid(differences).masked_fill(~above, 0.0).sum((1, 2))  # (R,)
    per_ranking = losses / above.sum((1, 2)).clamp(min=1)
    return (weights * per_ranking).sum() / total_weight


def policy_loss(
    log_probs: Tensor,
    old_log_probs: Tensor,
    advantages: Tensor,
    completion_mask: Tensor,
    clip_range: float,
    num_tokens: int,
) -> PolicyLoss:
    """PPO's clipped surrogate, max(-A ratio, -A clip(ratio, 1 - e, 1 + e)), as a mean over tokens.

    Source: Schulman et al. 2017, equation 7, in the form of lm-human-preferences' `train_policy.py`.
    log_probs, old_log_probs (nats), advantages, completion_mask (True at completion tokens): (B, T).
    num_tokens: completion tokens of the whole optimiser step, not of this micro-batch. Padding adds nothing.
    """
    _assert_same_shape(log_probs, old_log_probs, advantages, completion_mask)
    log_ratio = (log_probs - old_log_probs).masked_fill(~completion_mask, 0.0)
    advantages = advantages.masked_fill(~completion_mask, 0.0)
    ratio = log_ratio.exp()
    losses = torch.maximum(-advantages * ratio, -advantages * ratio.clamp(1 - clip_range, 1 + clip_range))
    with torch.no_grad():
        clipped = ((ratio - 1).abs() > clip_range).sum() / num_tokens
        mean_ratio = ratio.masked_fill(~completion_mask, 0.0).sum() / num_tokens
        approximate_kl = 0.5 * log_ratio.square().sum() / num_tokens
    return PolicyLoss(losses.sum() / num_tokens, mean_ratio, clipped, approximate_kl)


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


def _assert_same_shape(*tensors: Tensor) -> None:
    assert all(tensor.shape == tensors[0].shape and tensor.dim() == 2 for tensor in tensors), [t.shape for t in tensors]
