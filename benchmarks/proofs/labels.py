"""More labels make a better reward model; how far it stays below the ceiling of the labels' known noise.

Accuracy is the expected one: the known probability that a label prefers what the model prefers, so that no luck of
drawn labels is in it. The ceiling is E[max(p, 1 - p)]. A linear head on the gold features (the parts that the gold
score is a sum of) is fitted to the same noisy labels by maximum likelihood.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from annotate.management.demo import gold, labelers
from benchmarks.proofs.numbers import Found, Number, Proof, by_seed, differences, mean, pooled
from benchmarks.proofs.sizes import Sizes
from benchmarks.proofs.world import World
from benchmarks.rows import Row
from rlhf.learning.stats.scaling import slope

Floats = NDArray[np.float64]
MAX_LINEAR_GAP = 0.02


def compute(worlds: Path, key: str, sizes: Sizes) -> Found:
    """Per held-out pair: the ceiling, and the expected accuracy of every reward model and of the linear head."""
    world = World(worlds / key, int(key), sizes)
    sft = world.sft()
    rankings = world.labels()[: max(sizes.label_sizes)]
    answers = world.completions(sft, world.held_out, "answers-0", 2)
    pairs = [(i, a, b) for i, (a, b) in answers.items() if world.gold(i, a) != world.gold(i, b)]
    chances = [labelers.preference(world.prompt(i).text, a, b) for i, a, b in pairs]
    found: Found = {"ceiling": [max(p, 1 - p) for p in chances], "accuracy": {}, "gold": {}}
    for size in sizes.label_sizes:
        reward = world.reward(f"reward-{size}", rankings[:size], sft)
        scores = world.scores(reward, pairs, f"scores-{size}")
        found["accuracy"][str(size)] = expected_accuracy(scores, chances)
        found["gold"][str(size)] = expected_accuracy(scores, [float(p > 0.5) for p in chances])
    weights = fit_linear(*labeled_features(world, rankings))
    held_out = np.array([features(world, i, a) - features(world, i, b) for i, a, b in pairs])
    found["linear"] = expected_accuracy((held_out @ weights).tolist(), chances)
    return found


def expected_accuracy(scores: Sequence[float], chances: Sequence[float]) -> list[float]:
    """Probability that a label agrees with the sign of each score; a score of 0 is half right."""
    return [0.5 if s == 0 else p if s > 0 else 1 - p for s, p in zip(scores, chances, strict=True)]


def features(world: World, index: int, text: str) -> Floats:
    """The parts of the gold score, (7,)."""
    parts = gold.parts(gold.normalised(world.prompt(index).text), gold.normalised(text))
    return np.array(dataclasses.astuple(parts))


def labeled_features(world: World, rankings: Sequence[Row]) -> tuple[Floats, Floats]:
    """Differences of features (better less worse) of every untied pair, and 1 / (pairs of its ranking)."""
    rows, weights = [], []
    for ranking in rankings:
        known = [features(world, ranking["prompt_id"], text) for text in ranking["completions"]]
        ranks = ranking["ranks"]
        won = [(i, j) for i, j in itertools.permutations(range(len(ranks)), 2) if ranks[i] < ranks[j]]
        rows += [known[i] - known[j] for i, j in won]
        weights += [1 / len(won) for _ in won]  # none where all tie
    return np.array(rows), np.array(weights)


def fit_linear(rows: Floats, weights: Floats) -> Floats:
    """Maximum likelihood of sigma(w x) over won comparisons, with a ridge of 1e-3 a comparison for features that never
    differ; (F,)."""

    def loss(w: Floats) -> tuple[float, Floats]:
        margins = rows @ w
        gradient = -(weights / (1 + np.exp(margins))) @ rows / weights.sum() + 1e-3 * w
        return float(weights @ np.logaddexp(0, -margins) / weights.sum() + 5e-4 * w @ w), gradient

    result: Floats = minimize(loss, np.zeros(rows.shape[1]), jac=True, method="L-BFGS-B").x
    return result


def numbers(found: Mapping[str, Found], sizes: Sizes) -> list[Number]:
    ceiling = pooled(found, "ceiling")
    rows = [Number(f"held-out comparisons of {len(found)} seeds", len(ceiling)), Number("ceiling", *mean(ceiling))]
    accuracies = {size: pooled(found, "accuracy", str(size)) for size in sizes.label_sizes}
    for size, values in accuracies.items():
        rows += [
            Number(f"accuracy, {size} rankings", *mean(values)),
            Number(f"gap to the ceiling, {size} rankings", *mean(differences(ceiling, values))),
            Number(f"agreement with gold, {size} rankings", *mean(pooled(found, "gold", str(size)))),
        ]
    ordered = list(accuracies.values())
    for size, values, before in zip(sizes.label_sizes[1:], ordered[1:], ordered, strict=False):
        rise = mean(differences(values, before))
        rows.append(Number(f"rise to {size} rankings", *rise, "above 0", rise[0] > 0))
    fitted = slope(sizes.label_sizes, np.array(ordered), range(len(ceiling)))
    rows.append(
        Number(
            "accuracy per doubling", fitted.per_doubling, fitted.low, fitted.high, "interval above 0", fitted.low > 0
        )
    )
    gap = mean(differences(ceiling, pooled(found, "linear")))
    rows.append(Number("gap of a linear head on gold features", *gap, "at most 0.02", gap[0] <= MAX_LINEAR_GAP))
    return rows


PROOF = Proof("labels", "Reward-model accuracy rises with 1x, 2x, 4x labels.", by_seed, compute, numbers)
