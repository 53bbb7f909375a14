"""A ranking that people can read: intervals that may be compared by eye, ranks as sets, and refusals in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.special import ndtr, stdtrit

from rlhf.learning.stats.bradley_terry import Fit, Gap, NotFitted, Resamples, fit, gap, resample
from rlhf.learning.stats.comparisons import Table, connection, largest_cycle

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass(frozen=True)
class RankedVersion:
    """One version on the scale where the first version has strength 0."""

    version: int
    strength: float  # log-odds against the first version
    low: float  # interval of that contrast; 0 to 0 for the first version itself
    high: float
    comparison_low: float  # of two versions whose comparison intervals are apart, the gap is about significant
    comparison_high: float
    rank_low: int  # 1 is best; all sets together hold the true ranks with the confidence asked for
    rank_high: int


@dataclass(frozen=True)
class Ranking:
    """Versions of one judge, or the reason why there is no order."""

    state: str  # fitted, disconnected, sweep or too_few
    reason: str
    tie_parameter: float | None
    cycle: list[int] | None
    versions: list[RankedVersion]  # strongest first; empty unless fitted
    num_failed: int  # resamples that could not be fitted; they widen the rank sets
    fitted: Fit | None  # for `gap`


def ranking(
    table: Table,
    *,
    first: int | None = None,
    names: Mapping[int, str] | None = None,
    davidson: bool = True,
    confidence: float = 0.95,
    num_resamples: int = 1_000,
    seed: int = 0,
) -> Ranking:
    """Fit the table and put every interval on it, or say in one sentence why not.

    first: the version at strength 0, the smallest id if None or not in the table. names: of versions, for sentences.
    davidson: False for judges whose scores are probabilities (`bradley_terry.fit`).
    """
    found = connection(table, names)
    cycle = largest_cycle(table, confidence) if len(table.versions) > 2 else None
    if found.state != "fitted":
        return Ranking(found.state, found.reason, None, cycle, [], 0, None)
    try:
        fitted = fit(table, davidson=davidson)
    except NotFitted as refusal:
        return Ranking(refusal.connection.state, refusal.connection.reason, None, cycle, [], 0, None)
    resamples = resample(table, fitted, num_resamples, seed)
    anchor = first if first in table.versions else table.versions[0]
    versions = _ranked(fitted, resamples, anchor, confidence)
    return Ranking("fitted", found.reason, fitted.tie_parameter, cycle, versions, resamples.num_failed, fitted)


def _ranked(fitted: Fit, resamples: Resamples, anchor: int, confidence: float) -> list[RankedVersion]:
    halves = comparison_half_widths(fitted, confidence)
    sets = rank_sets(fitted, resamples, confidence)
    versions = []
    for place in np.argsort(-fitted.strengths, kind="stable").tolist():
        version = fitted.versions[place]
        found = gap(fitted, version, anchor, confidence) if version != anchor else Gap(0.0, 0.0, 0.0, 0.0)
        half = float(halves[place])
        apart = (found.gap - half, found.gap + half)
        versions.append(RankedVersion(version, found.gap, found.low, found.high, *apart, *sets[place]))
    return versions


def quasi_variances(covariance: Floats) -> Floats:
    """q (M,) with q_i + q_j as near as can be to the variance of every contrast i - j.

    Least squares of ln(q_i + q_j) - ln v_ij over pairs (Firth & de Menezes 2004, Biometrika 91, section 3), q kept
    above 0. Exact for three versions where such q exist; two versions share their variance evenly.

    covariance: (M, M) of the strengths in any gauge; a contrast without variance (two versions that always tie) is
    given a millionth of the largest. Raises ValueError for one version, or if no contrast has a variance.
    """
    one, other = np.triu_indices(len(covariance), k=1)
    variances = _contrast_variances(covariance, one, other)
    if not len(one) or not variances.max() > 0:
        raise ValueError("quasi-variances: expected two or more versions and a variance above 0 of some contrast")
    variances = np.maximum(variances, 1e-6 * variances.max())
    if len(covariance) == 2:
        return np.repeat(variances / 2, 2)
    start = np.log(np.maximum(np.diag(covariance), variances.min() / 4))
    size, rows = len(covariance), np.arange(len(one))

    def distances(logs: Floats) -> Floats:
        values: Floats = np.log(np.exp(logs[one]) + np.exp(logs[other])) - np.log(variances)
        return values

    def slopes(logs: Floats) -> Floats:
        shares = np.zeros((len(one), size))
        total = np.exp(logs[one]) + np.exp(logs[other])
        shares[rows, one], shares[rows, other] = np.exp(logs[one]) / total, np.exp(logs[other]) / total
        return shares

    found: Floats = np.exp(least_squares(distances, start, jac=slopes, xtol=1e-12, ftol=1e-12, gtol=1e-12).x)
    return found


def comparison_half_widths(fitted: Fit, confidence: float = 0.95) -> Floats:
    """(M,): half widths c sqrt(q_i), so that two intervals that don't overlap are about significantly apart.

    c makes c (sqrt(q_i) + sqrt(q_j)) = t sqrt(v_ij) on average over pairs (Goldstein & Healy 1995); for equal q it is
    t / sqrt(2), which draws 83 % intervals for 95 % contrasts.
    """
    one, other = np.triu_indices(len(fitted.versions), k=1)
    errors = np.sqrt(_contrast_variances(fitted.covariance, one, other))
    if not errors.max() > 0:
        return np.zeros(len(fitted.versions))
    roots = np.sqrt(quasi_variances(fitted.covariance))
    t = float(stdtrit(fitted.num_prompts - 1, (1 + confidence) / 2))
    result: Floats = t * float(np.mean(errors / (roots[one] + roots[other]))) * roots
    return result


def rank_sets(fitted: Fit, resamples: Resamples, confidence: float = 0.95) -> list[tuple[int, int]]:
    """(best, worst) possible rank of every version; all sets hold the true ranks at once with this confidence.

    A version counts as beaten by those whose gap exceeds c standard errors, c the quantile over resamples of the
    largest |t| of all gaps (simultaneous bands, Mogstad et al. 2024, section 3), widened from the normal to the t
    distribution of P - 1 degrees of freedom. A resample that could not be fitted counts as infinitely far: many of them
    leave every rank open, none are passed over.
    """
    size = len(fitted.versions)
    one, other = np.triu_indices(size, k=1)
    errors = np.maximum(np.sqrt(_contrast_variances(fitted.covariance, one, other)), 1e-12)
    gaps = fitted.strengths[one] - fitted.strengths[other]
    away = np.abs(resamples.strengths[:, one] - resamples.strengths[:, other] - gaps)
    largest = (away / errors).max(axis=1)
    largest = np.concatenate([largest, np.full(resamples.num_failed, np.inf)])
    place = min(int(np.ceil(confidence * (len(largest) + 1))), len(largest)) - 1
    critical = _with_few_prompts(float(np.sort(largest)[place]), fitted.num_prompts)
    better = np.zeros((size, size), dtype=np.bool_)  # row beats column
    better[one, other], better[other, one] = gaps > critical * errors, -gaps > critical * errors
    beaten, beats = better.sum(axis=0).tolist(), better.sum(axis=1).tolist()
    return [(1 + num_above, size - num_below) for num_above, num_below in zip(beaten, beats, strict=True)]


def _with_few_prompts(critical: float, num_prompts: int) -> float:
    """The t quantile of P - 1 degrees of freedom at the level of a normal one: resamples show the spread of a fit, not
    how badly few prompts know their own errors."""
    if math.isinf(critical):
        return critical
    return -float(stdtrit(num_prompts - 1, max(float(ndtr(-critical)), 1e-300)))


def _contrast_variances(covariance: Floats, one: Indices, other: Indices) -> Floats:
    variances = np.diag(covariance)
    result: Floats = np.maximum(variances[one] + variances[other] - 2 * covariance[one, other], 0)
    return result
