"""PPO's pieces in float64, a row and a token at a time, from the papers: rewards, GAE, whitening, both losses."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def rewards(score: float, own: Sequence[float], reference: Sequence[float], beta: float) -> list[float]:
    found = [-beta * (a - b) for a, b in zip(own, reference, strict=True)]
    found[-1] += score
    return found


def gae(rewards: Sequence[float], values: Sequence[float], gamma: float, lam: float) -> tuple[list[float], list[float]]:
    """The sum of equation 16 (Schulman et al. 2016) as it is written: sum over l of (gamma lambda)^l delta_{t+l}."""
    count = len(rewards)
    after = [*values[1:], 0.0]
    deltas = [rewards[t] + gamma * after[t] - values[t] for t in range(count)]
    advantages = [sum((gamma * lam) ** (s - t) * deltas[s] for s in range(t, count)) for t in range(count)]
    return advantages, [a + v for a, v in zip(advantages, values, strict=True)]


def whiten(values: Sequence[float], shift_mean: bool) -> list[float]:
    mean = float(np.mean(values))
    deviation = math.sqrt(float(np.var(values)) + 1e-8)
    return [(v - mean) / deviation + (0.0 if shift_mean else mean) for v in values]


def policy_loss(new: Sequence[float], old: Sequence[float], advantages: Sequence[float], clip: float) -> float:
    losses = []
    for a, b, advantage in zip(new, old, advantages, strict=True):
        ratio = math.exp(a) / math.exp(b)
        losses.append(-min(ratio * advantage, min(max(ratio, 1 - clip), 1 + clip) * advantage))
    return float(np.mean(losses))


def value_loss(values: Sequence[float], old: Sequence[float], returns: Sequence[float], clip: float) -> float:
    losses = []
    for v, o, r in zip(values, old, returns, strict=True):
        clipped = min(max(v, o - clip), o + clip)
        losses.append(0.5 * max((v - r) ** 2, (clipped - r) ** 2))
    return float(np.mean(losses))
