"""Whether a machine judge may stand in for people: agreement, kappa, calibration, and how far people agree themselves.

A unit is one prompt of one evaluation; its outcome by a judge is a win, a tie or a loss of the candidate, as its unit
score lies above, at or below one half. Intervals are clustered by prompt. Two people who judge the same unit don't
always agree either: a judge's agreement is to be read beside that ceiling.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import spearmanr

from rlhf.learning.stats.agreement import Agreement, krippendorff_alpha
from rlhf.learning.stats.calibration import Bin, calibration
from rlhf.learning.stats.intervals import clustered_mean

OUTCOMES = ("win", "tie", "loss")  # rows (people) and columns (judge) of a confusion table
NUM_RESAMPLES = 1_000
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Reliability:
    """Whether a graded judge's probabilities mean what they say, over units that people didn't tie."""

    bins: tuple[Bin, ...]  # of the likelier side; confidence is its mean probability, accuracy how often people agreed
    ece: float
    brier: float  # 0.25 is that of a coin
    num_units: int


@dataclass(frozen=True)
class JudgeAgreement:
    """A machine judge against people, over units that both judged."""

    num_units: int
    agreement: float  # share of units with the same outcome
    low: float
    high: float
    agreement_without_ties: float | None  # over units that neither tied; None: there is none
    kappa: float | None  # Cohen's, of three outcomes; None where chance alone agrees always
    kappa_low: float | None
    kappa_high: float | None
    confusion: tuple[tuple[int, int, int], ...]  # 3 x 3, as OUTCOMES
    reliability: Reliability | None  # of a graded judge


@dataclass(frozen=True)
class Ceiling:
    """How often one person agrees with the others."""

    agreement: float
    low: float
    high: float
    num_units: int  # with two people or more
    num_votes: int


@dataclass(frozen=True)
class Timelines:
    """A judge's win rates against people's over the steps of the chain of versions."""

    same: int  # steps in which both see the new version better, both worse, or both exactly equal
    num: int
    spearman: float | None  # of the rates; None with fewer than three steps or equal rates


def judge_agreement(
    prompts: ArrayLike,
    judge: ArrayLike,
    human: ArrayLike,
    graded: bool = False,
    confidence: float = 0.95,
    seed: int = 0,
) -> JudgeAgreement:
    """Agreement of n units.

    kappa = (p_o - p_e) / (1 - p_e) with p_e from the margins (Cohen 1960); its interval holds the middle of 1,000
    resamples of prompts, the others' come from `clustered_mean`.

    prompts: (n,) labels, the clusters. judge, human: (n,) unit scores of the candidate, 0 to 1. graded: the judge's
    scores are probabilities, and get a reliability. Raises ValueError for no units or unequal lengths.
    """
    labels, f, y = np.asarray(prompts), np.asarray(judge, dtype=np.float64), np.asarray(human, dtype=np.float64)
    if not labels.size or not labels.size == f.size == y.size:
        found = f"{labels.size}, {f.size} and {y.size}"
        raise ValueError(f"judge agreement: expected as many prompts as scores of both, at least one, found {found}")
    rows, columns = _outcomes(y), _outcomes(f)
    same = clustered_mean(rows == columns, labels, confidence)
    _, index = np.unique(labels, return_inverse=True)
    tables = np.zeros((int(index.max()) + 1, 3, 3))  # per prompt
    np.add.at(tables, (index, rows, columns), 1.0)
    table = tables.sum(axis=0)
    decided = float(table[np.ix_([0, 2], [0, 2])].sum())
    kappa = float(_kappas(table[None])[0])
    low, high = _kappa_interval(tables, confidence, seed)
    return JudgeAgreement(
        num_units=labels.size,
        agreement=same.mean,
        low=same.low,
        high=same.high,
        agreement_without_ties=float(table[0, 0] + table[2, 2]) / decided if decided else None,
        kappa=None if math.isnan(kappa) else kappa,
        kappa_low=low,
        kappa_high=high,
        confusion=tuple((int(row[0]), int(row[1]), int(row[2])) for row in table),
        reliability=_reliability(f, y, labels) if graded else None,
    )


def human_ceiling(
    units: ArrayLike, prompts: ArrayLike, raters: ArrayLike, scores: ArrayLike, confidence: float = 0.95
) -> Ceiling | None:
    """Leave-one-out: each person's outcome against the most frequent one of the others; None where nobody has company.

    Where m outcomes are equally frequent among the others, naming one of them counts 1 / m, what a draw would give
    (AlpacaFarm's measure of people, Dubois et al. 2023, arXiv 2305.14387). A person counts once a unit, by the mean of
    what they said. units, prompts, raters: (n,) labels. scores: (n,), 0 to 1.
    """
    votes = _votes(units, prompts, raters, scores)
    agreed, clusters, num_units = [], [], 0
    for prompt, outcomes in votes:
        counts = Counter(outcomes)
        num_units += len(outcomes) > 1
        for outcome in outcomes if len(outcomes) > 1 else ():
            others = counts - Counter([outcome])
            modes = [one for one, num in others.items() if num == max(others.values())]
            agreed.append(1 / len(modes) if outcome in modes else 0.0)
            clusters.append(prompt)
    if not agreed:
        return None
    found = clustered_mean(agreed, _numbered(clusters), confidence)
    return Ceiling(found.mean, found.low, found.high, num_units, len(agreed))


def rater_alpha(units: ArrayLike, prompts: ArrayLike, raters: ArrayLike, scores: ArrayLike, seed: int = 0) -> Agreement:
    """Krippendorff's alpha of people's wins, ties and losses as names; arguments as in `human_ceiling`."""
    votes = _votes(units, prompts, raters, scores)
    counts = np.array([[outcomes.count(k) for k in range(3)] for _, outcomes in votes]).reshape(-1, 3)
    return krippendorff_alpha(counts, _numbered([prompt for prompt, _ in votes]), level="nominal", seed=seed)


def timelines(judge: Sequence[float], human: Sequence[float]) -> Timelines:
    """Signs and Spearman's rank correlation of two series of win rates, one pair per step; ValueError if unequal."""
    if len(judge) != len(human):
        raise ValueError(f"timelines: expected as many steps of both, found {len(judge)} and {len(human)}")
    same = sum((a > 0.5) - (a < 0.5) == (b > 0.5) - (b < 0.5) for a, b in zip(judge, human, strict=True))
    varied = len(judge) > 2 and len(set(judge)) > 1 and len(set(human)) > 1
    return Timelines(same, len(judge), float(spearmanr(judge, human).statistic) if varied else None)


def _outcomes(scores: Floats) -> NDArray[np.intp]:
    """(n,): index in OUTCOMES."""
    return (1 - np.sign(scores - 0.5)).astype(np.intp)


def _kappas(tables: Floats) -> Floats:
    """(B,) of (B, 3, 3); nan where both always name one and the same outcome."""
    total = tables.sum(axis=(1, 2))
    observed = np.trace(tables, axis1=1, axis2=2) / total
    chance = (tables.sum(axis=1) * tables.sum(axis=2)).sum(axis=1) / total**2
    kappas: Floats = np.divide(
        observed - chance, 1 - chance, out=np.full(len(tables), np.nan), where=chance < 1 - 1e-12
    )
    return kappas


def _kappa_interval(tables: Floats, confidence: float, seed: int) -> tuple[float | None, float | None]:
    num = len(tables)
    if num < 2:
        return None, None
    weights = np.random.default_rng(seed).multinomial(num, np.full(num, 1 / num), size=NUM_RESAMPLES)
    kappas = _kappas((weights.astype(np.float64) @ tables.reshape(num, 9)).reshape(-1, 3, 3))
    kappas = kappas[~np.isnan(kappas)]
    if len(kappas) < NUM_RESAMPLES / 2 or float(np.ptp(kappas)) < 1e-12:
        return None, None
    low, high = np.quantile(kappas, ((1 - confidence) / 2, (1 + confidence) / 2))
    return float(low), float(high)


def _reliability(f: Floats, y: Floats, labels: NDArray[np.generic]) -> Reliability | None:
    decided = y != 0.5
    if not decided.any():
        return None
    found = calibration(f[decided], y[decided] > 0.5, labels[decided])
    return Reliability(found.bins, found.expected_calibration_error, found.brier, int(decided.sum()))


def _votes(
    units: ArrayLike, prompts: ArrayLike, raters: ArrayLike, scores: ArrayLike
) -> list[tuple[object, list[int]]]:
    """Per unit, in order of its label, its prompt and the outcomes of its raters."""
    said: dict[Any, dict[object, list[float]]] = defaultdict(lambda: defaultdict(list))
    prompt_of: dict[object, object] = {}
    columns = [np.asarray(column).tolist() for column in (units, prompts, raters, scores)]
    for unit, prompt, rater, score in zip(*columns, strict=True):
        said[unit][rater].append(score - 0.5)
        prompt_of[unit] = prompt
    result = []
    for unit in sorted(said):
        means = [math.fsum(values) for values in said[unit].values()]
        result.append((prompt_of[unit], [1 - ((mean > 0) - (mean < 0)) for mean in means]))
    return result


def _numbered(labels: Sequence[object]) -> list[int]:
    """Labels of any kind as numbers, equal ones alike."""
    numbers: dict[object, int] = {}
    return [numbers.setdefault(label, len(numbers)) for label in labels]
