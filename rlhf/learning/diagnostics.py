"""Numbers about an iteration's rollouts that alarms are raised on; they touch no update."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rlhf.learning.sampling import Prompt


def repetition(completion_ids: Tensor, completion_mask: Tensor, size: int = 3) -> float:
    """Mean over completions of the share of their n-grams that came before in the same completion; 0 for short ones.

    completion_ids, completion_mask: (B, C).
    """
    shares = []
    for ids, mask in zip(completion_ids.tolist(), completion_mask.sum(1).tolist(), strict=True):
        grams = [tuple(ids[i : i + size]) for i in range(mask - size + 1)]
        shares.append(1 - len(set(grams)) / len(grams) if grams else 0.0)
    return sum(shares) / max(1, len(shares))


def correlation(one: Tensor, two: Tensor) -> float:
    """Pearson's, over (B,); 0 where either doesn't vary."""
    assert one.shape == two.shape and one.dim() == 1, (one.shape, two.shape)
    a, b = one.double() - one.double().mean(), two.double() - two.double().mean()
    scale = float(a.square().sum().sqrt() * b.square().sum().sqrt())
    return float((a * b).sum()) / scale if scale > 1e-12 else 0.0


def gap_per_token(sums: Tensor, sampler_sums: Tensor, lengths: Tensor) -> float:
    """Mean over completions of |trainer's - sampler's log-probability| / tokens, nats; (B,) each."""
    return float(((sums - sampler_sums).abs() / lengths.clamp(min=1)).mean())


def truncated_share(prompts: Sequence[Prompt], max_prompt_tokens: int) -> float:
    """Share of prompts that fill `max_prompt_tokens` to the last token: cut ones, and the few that just fit."""
    return sum(len(prompt.ids) >= max_prompt_tokens for prompt in prompts) / max(1, len(prompts))


def of_rollouts(
    completion_ids: Tensor, completion_mask: Tensor, scores: Tensor, sums: Tensor, sampler_sums: Tensor
) -> dict[str, float]:
    """`repetition`, `length_correlation` and `sampler_gap_per_token` of one iteration."""
    lengths = completion_mask.sum(1)
    return {
        "repetition": repetition(completion_ids, completion_mask),
        "length_correlation": correlation(scores, lengths.to(torch.float32)),
        "sampler_gap_per_token": gap_per_token(sums, sampler_sums, lengths),
    }
