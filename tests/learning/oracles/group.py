"""GRPO, RLOO and the estimators of KL, a completion and a token at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def kl(estimator: str, own: float, reference: float) -> float:
    """In terms of the ratio x = pi_ref / pi, as Schulman writes them."""
    x = math.exp(reference) / math.exp(own)
    return {"k1": -math.log(x), "k2": math.log(x) ** 2 / 2, "k3": x - 1 - math.log(x)}[estimator]


def advantages(rewards: Sequence[float], size: int, leave_one_out: bool, scale: bool) -> list[float]:
    found = []
    for start in range(0, len(rewards), size):
        group = list(rewards[start : start + size])
        for i, reward in enumerate(group):
            others = group[:i] + group[i + 1 :] if leave_one_out else group
            advantage = reward - float(np.mean(others))
            found.append(advantage / (float(np.std(group, ddof=1)) + 1e-4) if scale else advantage)
    return found


def grpo(
    new: Floats,
    old: Floats,
    reference: Floats,
    gains: Sequence[float],
    lengths: Sequence[int],
    clip: float,
    beta: float,
    estimator: str,
    average: str,
) -> float:
    of_completions = []
    for i, length in enumerate(lengths):
        losses = []
        for t in range(length):
            ratio = math.exp(new[i, t]) / math.exp(old[i, t])
            surrogate = min(ratio * gains[i], float(np.clip(ratio, 1 - clip, 1 + clip)) * gains[i])
            losses.append(-surrogate + beta * kl(estimator, new[i, t], reference[i, t]))
        of_completions.append(losses)
    if average == "token":
        return float(np.mean(np.concatenate(of_completions)))
    return float(np.mean([np.mean(losses) for losses in of_completions]))


def rloo(new: Floats, old: Floats, gains: Sequence[float], lengths: Sequence[int], clip: float) -> float:
    losses = []
    for i, length in enumerate(lengths):
        ratio = math.exp(float(new[i, :length].sum())) / math.exp(float(old[i, :length].sum()))
        losses.append(-min(ratio * gains[i], float(np.clip(ratio, 1 - clip, 1 + clip)) * gains[i]))
    return float(np.mean(losses))
