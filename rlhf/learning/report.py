"""The report card of a reward model: what its numbers mean, where they hold, and what it leans on. Torch-free.

Accuracy on held-out rankings with intervals clustered by prompt, by strength, labeler and round; the ceiling that the
labelers' own noise allows; calibration of raw scores; shortcuts; what more labels would buy.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from rlhf.learning.records import LEVELS, comparisons
from rlhf.learning.stats.calibration import calibration
from rlhf.learning.stats.intervals import Estimate, clustered_mean
from rlhf.learning.stats.scaling import Slope
from rlhf.learning.stats.shortcuts import length_features, phrase_features, shortcuts

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ScoredRanking:
    """One labeler's ranking of completions of one prompt, and a reward model's scores of the same completions."""

    prompt_id: int
    ranks: Sequence[int]  # 1 is best, equal numbers are ties
    scores: Sequence[float]  # raw ones, where calibration is asked for
    labeler: str = ""
    iteration: int = 0
    level: int | None = None  # how much better, an index into records.LEVELS
    completion_ids: Sequence[int] = ()
    completions: Sequence[str] = ()
    edited: bool = False  # the last completion is an edited text, and the best


@dataclass(frozen=True)
class Label:
    """One labeler's ranking, whatever split it belongs to: what agreement is measured on."""

    prompt_id: int
    labeler: str
    completion_ids: Sequence[int]
    ranks: Sequence[int]


@dataclass(frozen=True)
class Ceiling:
    """What the noise of the labels allows, from comparisons that two labelers or more made."""

    agreement: Estimate  # share of equal answers of two labelers
    label_noise: float  # share of wrong answers, if every comparison is equally hard
    ceiling: float  # accuracy of a perfect model on such labels: 1 - label_noise, the highest that agreement allows
    low: float
    high: float


def accuracy(rankings: Sequence[ScoredRanking], confidence: float = 0.95) -> Estimate | None:
    """Share of comparisons that the scores order as the labeler did; clusters are prompts.

    Comparisons that the labeler tied are left out; equal scores count one half. None where no comparison is left.
    """
    values, prompt_ids = outcomes(rankings)
    return clustered_mean(values, prompt_ids, confidence) if values else None


def outcomes(rankings: Sequence[ScoredRanking]) -> tuple[list[float], list[int]]:
    """For every strict comparison 1 where the scores order it as the labeler did, 0 where not, a half for equal scores;
    and its prompt."""
    values: list[float] = []
    prompt_ids: list[int] = []
    for ranking in rankings:
        assert len(ranking.ranks) == len(ranking.scores), (ranking.ranks, ranking.scores)
        pairs = comparisons(ranking.ranks)
        for winner, loser in zip(pairs.winners, pairs.losers, strict=True):
            better, worse = ranking.scores[winner], ranking.scores[loser]
            values.append(0.5 if better == worse else float(better > worse))
            prompt_ids.append(ranking.prompt_id)
    return values, prompt_ids


def noise_ceiling(probabilities: ArrayLike, prompt_ids: ArrayLike, confidence: float = 0.95) -> Estimate:
    """E[max(p, 1 - p)]: the accuracy of a judge that knows every comparison's true probability p; clusters are prompts.

    probabilities: (n,), that a labeler prefers the one to the other. No accuracy on those labels is expected above it.
    """
    chances = np.asarray(probabilities, dtype=np.float64)
    return clustered_mean(np.maximum(chances, 1 - chances), prompt_ids, confidence)


def agreement_ceiling(labels: Sequence[Label], confidence: float = 0.95) -> Ceiling | None:
    """The ceiling from comparisons of the same two completions by different labelers; None where there is none.

    Two labelers who each err with probability e agree with A = (1 - e)^2 + e^2, so e = (1 - sqrt(2A - 1)) / 2. Where
    comparisons differ in how hard they are, a perfect model reaches between A and 1 - e (Jensen's inequality on both
    sides). Ties are left out. Clusters are prompts.
    """
    given: dict[tuple[int, int, int], list[tuple[str, bool]]] = defaultdict(list)
    for label in labels:
        pairs = comparisons(label.ranks)
        for winner, loser in zip(pairs.winners, pairs.losers, strict=True):
            better, worse = label.completion_ids[winner], label.completion_ids[loser]
            key = (label.prompt_id, min(better, worse), max(better, worse))
            given[key].append((label.labeler, better < worse))
    same: list[float] = []
    prompt_ids: list[int] = []
    for (prompt_id, _, _), answers in given.items():
        for (one, first), (other, second) in itertools.combinations(answers, 2):
            if one != other:
                same.append(float(first == second))
                prompt_ids.append(prompt_id)
    if not same:
        return None
    found = clustered_mean(same, prompt_ids, confidence)
    ceiling, low, high = (_ceiling_of(a) for a in (found.mean, found.low, found.high))
    return Ceiling(found, 1 - ceiling, ceiling, low, high)


def _ceiling_of(agreement: float) -> float:
    return (1 + math.sqrt(max(0.0, 2 * agreement - 1))) / 2


def card(
    held_out: Sequence[ScoredRanking],
    labels: Sequence[Label],
    trained_labelers: Collection[str],
    scaling: Slope | None = None,
) -> dict[str, Any]:
    """The whole card as JSON values; null where the data say nothing.

    held_out: with raw scores. labels: all rankings of people, for agreement. trained_labelers: whose rankings the model
    was trained on.
    """
    ceiling = agreement_ceiling(labels)
    return {
        "accuracy": _estimate(accuracy(held_out)),
        "by_strength": _slices(held_out, lambda r: None if r.level is None else LEVELS[r.level]),
        "by_labeler": _slices(held_out, lambda r: r.labeler),
        "by_iteration": _slices(held_out, lambda r: r.iteration),
        "new_labelers": _estimate(accuracy([r for r in held_out if r.labeler not in trained_labelers])),
        "ceiling": None
        if ceiling is None
        else dataclasses.asdict(ceiling) | {"agreement": _estimate(ceiling.agreement)},
        "calibration": _calibration(held_out),
        "shortcuts": _shortcuts(held_out),
        "scaling": None if scaling is None else dataclasses.asdict(scaling),
    }


def headline(of_card: dict[str, Any]) -> dict[str, float | int | None]:
    """The few numbers of a card that stand among a run's metrics."""
    ceiling, calibrated, scaling = of_card["ceiling"], of_card["calibration"], of_card["scaling"]
    found = of_card["shortcuts"]
    flagged = [one for one in (found["length"], found["position"], *found["phrases"]) if one and one["flagged"]]
    return {
        "ceiling": ceiling and ceiling["ceiling"],
        "calibration_error": calibrated and calibrated["expected_calibration_error"],
        "brier": calibrated and calibrated["brier"],
        "num_shortcuts": len(flagged),
        "points_per_doubling": scaling and 100 * scaling["per_doubling"],
    }


def _estimate(found: Estimate | None) -> dict[str, float | int] | None:
    if found is None:
        return None
    return {
        "mean": found.mean,
        "low": found.low,
        "high": found.high,
        "num_pairs": found.num_rows,
        "num_prompts": found.num_clusters,
    }


def _slices(
    rankings: Sequence[ScoredRanking], key: Callable[[ScoredRanking], Hashable | None]
) -> dict[str, dict[str, float | int] | None]:
    groups: dict[Any, list[ScoredRanking]] = defaultdict(list)
    for ranking in rankings:
        if (name := key(ranking)) is not None:
            groups[name].append(ranking)
    found = {str(name): _estimate(accuracy(groups[name])) for name in sorted(groups)}
    return {name: estimate for name, estimate in found.items() if estimate is not None}


@dataclass(frozen=True)
class _Pairs:
    """Every strict comparison of held-out rankings, the completion of the lower index first."""

    differences: Floats  # (n,), raw scores
    outcomes: Floats  # (n,), 1 where the first was preferred
    prompt_ids: list[int]
    first: list[str]
    second: list[str]


def _pairs(rankings: Sequence[ScoredRanking]) -> _Pairs:
    differences: list[float] = []
    preferred: list[float] = []
    prompt_ids: list[int] = []
    texts: tuple[list[str], list[str]] = ([], [])
    for r in rankings:
        for i, j in itertools.combinations(range(len(r.ranks)), 2):
            if r.ranks[i] == r.ranks[j]:
                continue
            differences.append(r.scores[i] - r.scores[j])
            preferred.append(float(r.ranks[i] < r.ranks[j]))
            prompt_ids.append(r.prompt_id)
            if r.completions:
                texts[0].append(r.completions[i])
                texts[1].append(r.completions[j])
    return _Pairs(np.array(differences), np.array(preferred), prompt_ids, *texts)


def _calibration(rankings: Sequence[ScoredRanking]) -> dict[str, Any] | None:
    pairs = _pairs(rankings)
    if not pairs.prompt_ids:
        return None
    return dataclasses.asdict(calibration(expit(pairs.differences), pairs.outcomes, pairs.prompt_ids))


def _shortcuts(rankings: Sequence[ScoredRanking]) -> dict[str, Any]:
    """length and phrases: does the model lean on them more than labels do; position: do labels lean on the place in the
    row, which the model can't see."""
    pairs = _pairs([r for r in rankings if r.completions])
    if not pairs.prompt_ids:
        return {"length": None, "position": None, "phrases": []}
    listed = _pairs([r for r in rankings if not r.edited])  # an edited text is always the last, and the best
    names, of_phrases = phrase_features(pairs.first, pairs.second)
    length = _test(["length"], length_features(pairs.first, pairs.second), pairs)
    position = _test(["position"], np.ones((len(listed.prompt_ids), 1)), listed, both_sides=True)
    return {
        "length": length[0],
        "position": position[0] if position else None,
        "phrases": _test(names, of_phrases, pairs)[:10],
    }


def _test(names: Sequence[str], features: Floats, pairs: _Pairs, both_sides: bool = False) -> list[dict[str, Any]]:
    found = shortcuts(names, features, pairs.differences, pairs.outcomes, pairs.prompt_ids, both_sides)
    return [dataclasses.asdict(one) for one in found]
