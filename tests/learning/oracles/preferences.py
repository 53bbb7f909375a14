"""Rankings to losses, one pair at a time; probabilities as the papers write them, not as logits."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np

Pair = Callable[[float, float, bool, float], float]  # scores of the better and the worse one, tied, margin -> loss


def mean_over_rankings(
    rankings: Sequence[Sequence[int]],
    weights: Sequence[float],
    scores: Sequence[float],
    loss_of_pair: Pair,
    with_ties: bool,
    margins: Sequence[float] | None = None,
) -> float:
    """sum_r w_r (mean of the losses of r's pairs) / sum_r w_r; `margins` holds one number per ranking."""
    total = norm = 0.0
    start = 0
    for number, (ranks, weight) in enumerate(zip(rankings, weights, strict=True)):
        mine = scores[start : start + len(ranks)]
        start += len(ranks)
        losses = []
        for i, j in itertools.combinations(range(len(ranks)), 2):
            tied = ranks[i] == ranks[j]
            if tied and not with_ties:
                continue
            better, worse = (mine[i], mine[j]) if ranks[i] <= ranks[j] else (mine[j], mine[i])
            losses.append(loss_of_pair(better, worse, tied, 0.0 if margins is None or tied else margins[number]))
        if losses:
            total += weight * float(np.mean(losses))
            norm += weight
    return total / norm


def bradley_terry(smoothing: float = 0.0) -> Pair:
    def loss(better: float, worse: float, tied: bool, margin: float) -> float:
        right = 1 / (1 + math.exp(-(better - worse - margin)))
        wrong = 1 / (1 + math.exp(-(worse - better - margin)))
        return -(1 - smoothing) * math.log(right) - smoothing * math.log(wrong)

    return loss


def rao_kupper(theta: float) -> Pair:
    def loss(better: float, worse: float, tied: bool, margin: float) -> float:
        a, b = math.exp(better), math.exp(worse)
        wins, loses = a / (a + theta * b), b / (b + theta * a)
        return -math.log(1 - wins - loses if tied else wins)

    return loss


def davidson(nu: float) -> Pair:
    def loss(better: float, worse: float, tied: bool, margin: float) -> float:
        a, b = math.exp(better), math.exp(worse)
        whole = a + b + nu * math.sqrt(a * b)
        return -math.log((nu * math.sqrt(a * b) if tied else a) / whole)

    return loss


def ipo(beta: float) -> Pair:
    def loss(better: float, worse: float, tied: bool, margin: float) -> float:
        return (better - worse - 0.5 / beta) ** 2

    return loss


def kto(
    log_ratios: Sequence[float],
    desirable: Sequence[float],
    undesirable: Sequence[float],
    kl: float,
    beta: float,
) -> float:
    total = 0.0
    for h, d, u in zip(log_ratios, desirable, undesirable, strict=True):
        total += d * (1 - 1 / (1 + math.exp(-beta * (h - kl)))) + u * (1 - 1 / (1 + math.exp(-beta * (kl - h))))
    return total


def safety(
    labels: Sequence[Sequence[bool | None]], weights: Sequence[float], scores: Sequence[Sequence[float]]
) -> float:
    """sum_r w_r (mean cross-entropy of r's labeled completions) / sum_r w_r, over all rankings."""
    total = 0.0
    for said, weight, mine in zip(labels, weights, scores, strict=True):
        probability = 1 / (1 + np.exp(-np.asarray(mine, dtype=np.float64)))
        costs = [-np.log(p if y else 1 - p) for y, p in zip(said, probability, strict=True) if y is not None]
        total += weight * float(np.mean(costs)) if costs else 0.0
    return total / sum(weights)
