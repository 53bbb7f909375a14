"""More labels make a better reward model; how far it stays below the ceiling of the labels' known noise.

Accuracy is the expected one: the known probability that a label prefers what the model prefers, so that no luck of
drawn labels is in it. The ceiling is E[max(p, 1 - p)]. One training's luck is as large as what twice the labels buy, so
every size is trained several times, on parts of a pool that share no label and together are all of it; intervals hold
the luck of held-out prompts and of trainings. A linear head on the gold features (the parts that the gold score is a
sum of) is fitted to as many of the same noisy labels as the largest size has, by maximum likelihood.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import stdtrit

from annotate.management.demo import gold, labelers
from benchmarks.proofs.numbers import Found, Number, Proof, by_seed, mean, pooled
from benchmarks.proofs.sizes import Sizes
from benchmarks.proofs.world import World
from benchmarks.rows import Row
from rlhf.learning.stats.scaling import slope

Floats = NDArray[np.float64]
MAX_LINEAR_GAP = 0.02


def compute(worlds: Path, key: str, sizes: Sizes) -> Found:
    """Per held-out pair: the ceiling, and the expected accuracy of every training of every size, and of the linear
    head."""
    world = World(worlds / key, int(key), sizes)
    sft = world.sft()
    rankings = world.labels()
    answers = world.completions(sft, world.held_out, "answers-0", 2)
    pairs = [(i, a, b) for i, (a, b) in answers.items() if world.gold(i, a) != world.gold(i, b)]
    chances = [labelers.preference(world.prompt(i).text, a, b) for i, a, b in pairs]
    found: Found = {"ceiling": [max(p, 1 - p) for p in chances], "accuracy": {}, "gold": {}}
    for size in sizes.label_sizes:
        scores = []
        for part in range(sizes.num_labeled // size):
            reward = world.reward(f"reward-{size}-{part}", rankings[part * size : (part + 1) * size], sft)
            scores.append(world.scores(reward, pairs, f"scores-{size}-{part}"))
        found["accuracy"][str(size)] = [expected_accuracy(one, chances) for one in scores]
        found["gold"][str(size)] = [expected_accuracy(one, [float(p > 0.5) for p in chances]) for one in scores]
    weights = fit_linear(*labeled_features(world, rankings[: max(sizes.label_sizes)]))
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
    ceiling = np.array(pooled(found, "ceiling"))
    rows = [Number(f"held-out comparisons of {len(found)} seeds", len(ceiling)), Number("ceiling", *mean(ceiling))]
    sized = {size: trainings(found, "accuracy", size) for size in sizes.label_sizes}
    for size, measured in sized.items():
        right = trainings(found, "gold", size)
        rows += [
            Number(f"accuracy, {size} rankings", *interval(measured.values, measured)),
            Number(f"gap to the ceiling, {size} rankings", *interval(ceiling - measured.values, measured)),
            Number(f"agreement with gold, {size} rankings", *interval(right.values, right)),
            Number(f"deviation of one training of {measured.count}, {size} rankings", measured.deviation),
        ]
    for (size, measured), before in zip(list(sized.items())[1:], sized.values(), strict=False):
        rise = interval(measured.values - before.values, measured, before)
        rows.append(Number(f"rise to {size} rankings", *rise, "interval above 0", rise[1] > 0))
    fitted = slope(sizes.label_sizes, np.array([measured.values for measured in sized.values()]), range(len(ceiling)))
    rows.append(Number("accuracy per doubling, interval over prompts", fitted.per_doubling, fitted.low, fitted.high))
    gap = mean(ceiling - np.array(pooled(found, "linear")))
    rows.append(Number("gap of a linear head on gold features", *gap, "at most 0.02", gap[0] <= MAX_LINEAR_GAP))
    return rows


@dataclasses.dataclass(frozen=True)
class Trainings:
    """Several trainings of one size: what they measure on every held-out pair, and how they differ."""

    values: Floats  # (N,), mean over a seed's trainings; pairs of all seeds, one after the other
    count: int  # of trainings, all seeds together
    deviation: float  # of one training's mean from its seed's; 0 where no seed has two
    freedom: int  # degrees of freedom of that


def trainings(found: Mapping[str, Found], what: str, size: int) -> Trainings:
    parts = [np.array(unit[what][str(size)]) for unit in found.values()]  # (trainings, pairs) each
    means = [one.mean(1) for one in parts]
    freedom = sum(len(one) - 1 for one in means)
    squares = sum(float(np.square(one - one.mean()).sum()) for one in means)
    deviation = math.sqrt(squares / freedom) if freedom else 0.0
    return Trainings(np.concatenate([one.mean(0) for one in parts]), sum(len(one) for one in means), deviation, freedom)


def interval(values: Floats, *measured: Trainings) -> tuple[float, float, float]:
    """Mean of (N,) values per pair that these trainings went into, with the 95 % interval of both kinds of luck: the
    variances of the prompts' mean and of the trainings' means add up (Welch and Satterthwaite's degrees of freedom)."""
    variances = [(float(values.var(ddof=1)) / len(values), len(values) - 1)]
    variances += [(one.deviation**2 / one.count, one.freedom) for one in measured if one.deviation]
    total = sum(variance for variance, _ in variances)
    freedom = total**2 / sum(variance**2 / degrees for variance, degrees in variances)
    half = float(stdtrit(freedom, 0.975)) * math.sqrt(total)
    middle = float(values.mean())
    return middle, middle - half, middle + half


PROOF = Proof("labels", "Reward-model accuracy rises with 1x, 2x, 4x labels.", by_seed, compute, numbers)
