"""Strengths of many versions from their comparisons: Bradley-Terry with Davidson's ties, prompts as the clusters.

Davidson 1970: P(i wins) : P(j wins) : P(tie) = exp(t_i) : exp(t_j) : nu exp((t_i + t_j) / 2), strengths t with sum 0.
It is an exponential family whose sufficient statistics are every version's score with ties as half, and the number of
ties; nu = 0 is Bradley-Terry, in which a graded score (a probability) may stand for a win or a loss. Only gaps mean
anything: ln 3 is 3 wins for each loss. Fits of one table and of a thousand resamples are the same Newton iteration on
summed scores; rows are never resampled, because answers to one prompt move together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components
from scipy.special import stdtrit

from rlhf.learning.stats.comparisons import Connection, Table, connection

MAX_STEPS = 30  # a lead without end grows by 1 a step and has then not got far enough to look as if it had ended
LONGEST_STEP = 3.0  # of a strength: Newton overshoots where probabilities saturate
CLOSE = 1e-5  # a Newton step this short leaves an error of its square
RIDGE = 1e-13  # of the number of judgments, added to the curvature: resamples without a finite fit stay solvable
NUMBERS_AT_ONCE = 2**22  # of the Hessians of one batch of resamples: bounds the memory of many versions
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class NotFitted(ValueError):
    """Strengths that do not exist, or were not found; `connection` says why in words."""

    def __init__(self, found: Connection) -> None:
        super().__init__(found.reason)
        self.connection = found


@dataclass(frozen=True)
class Fit:
    """Strengths of M versions."""

    versions: tuple[int, ...]
    strengths: Floats  # (M,) log-odds, sum 0
    tie_parameter: float | None  # Davidson's nu; None where ties count half
    covariance: Floats  # (M, M) of the strengths, sandwich with prompts as clusters
    num_prompts: int


@dataclass(frozen=True)
class Gap:
    """How much stronger one version is than another, in log-odds."""

    gap: float
    standard_error: float
    low: float
    high: float


@dataclass(frozen=True)
class Resamples:
    """Strengths refitted on prompts drawn with replacement."""

    strengths: Floats  # (B, M), sum 0 in every row; only resamples that could be fitted
    num_failed: int  # resamples whose versions no longer hang together, or whose fit is not finite


@dataclass(frozen=True)
class _Sums:
    """What a fit needs to know of B data sets with Q pairs; nothing else of the rows enters it."""

    points: Floats  # (B, Q) of the first version, ties as half
    counts: Floats  # (B, Q)
    ties: Floats  # (B,); 0 where ties count half

    def only(self, rows: Bools | NDArray[np.intp]) -> _Sums:
        return _Sums(self.points[rows], self.counts[rows], self.ties[rows])


def fit(table: Table, *, davidson: bool = True) -> Fit:
    """Maximum likelihood strengths with V = H^-1 (P / (P - 1) sum_k g_k g_k') H^-1, g_k the score of prompt k.

    A unit score y is a tie to the share 1 - |2 y - 1| and a win or a loss for the rest. davidson: model ties; False
    for judges whose scores are probabilities. Ties count half (nu is None) as well where there are none, or where
    the outright wins alone do not connect the versions and nu may have no finite value.

    Raises NotFitted where `connection` refuses or the iteration doesn't end.
    """
    found = connection(table)
    if found.state != "fitted":
        raise NotFitted(found)
    tied = _tied(table)
    modelled = davidson and bool(tied.sum()) and _outright_wins_connect(table)
    sums = _Sums(
        table.scores.sum(axis=0)[None],
        table.judged.sum(axis=0)[None],
        np.array([tied.sum() if modelled else 0.0]),
    )
    size = len(table.versions)
    strengths, log_ties, ended = _newton(table, sums, np.zeros((1, size)), np.zeros(1))
    if not ended[0]:
        raise NotFitted(Connection("sweep", "The fit did not settle: some lead is too large for a finite size."))
    covariance = _sandwich(table, sums, tied, strengths, log_ties)
    nu = float(np.exp(log_ties[0])) if modelled else None
    return Fit(table.versions, strengths[0], nu, covariance, table.num_prompts)


def gap(fitted: Fit, candidate: int, baseline: int, confidence: float = 0.95) -> Gap:
    """strength(candidate) - strength(baseline), with the t interval of P - 1 degrees of freedom of that contrast.

    candidate, baseline: version ids of the fit. Swapping them mirrors gap and interval. Raises ValueError for others.
    """
    i, j = fitted.versions.index(candidate), fitted.versions.index(baseline)
    value = float(fitted.strengths[i] - fitted.strengths[j])
    covariance = fitted.covariance
    error = float(np.sqrt(max(covariance[i, i] + covariance[j, j] - 2 * covariance[i, j], 0.0)))
    half = float(stdtrit(fitted.num_prompts - 1, (1 + confidence) / 2)) * error
    return Gap(value, error, value - half, value + half)


def resample(table: Table, fitted: Fit, num: int = 1_000, seed: int = 0) -> Resamples:
    """Refit `num` times on as many prompts drawn with replacement, from the fitted strengths on.

    The weights of all resamples are one matrix (B, P), sums of scores one product with the table, and the fits
    batched Newton iterations: memory B x max(P, Q) numbers, time B M^3. The same seed gives the same resamples.
    """
    weights = _weights(table.num_prompts, num, seed)
    points = weights @ table.scores
    counts = np.full_like(points, table.num_prompts) if table.judged.all() else weights @ table.judged
    modelled = fitted.tie_parameter is not None
    ties = weights @ _tied(table).sum(axis=1) if modelled else np.zeros(num)
    sums = _Sums(points, counts, ties)
    sums = sums.only(_strongly_connected(table, sums))
    found = np.zeros((0, len(fitted.versions)))
    for rows in np.array_split(np.arange(len(sums.ties)), max(1, num * len(fitted.versions) ** 2 // NUMBERS_AT_ONCE)):
        start = np.repeat(fitted.strengths[None], len(rows), axis=0)
        log_ties = np.full(len(rows), np.log(fitted.tie_parameter or 1.0))
        strengths, _, ended = _newton(table, sums.only(rows), start, log_ties)
        found = np.concatenate([found, strengths[ended]])
    return Resamples(found, num - len(found))


def _tied(table: Table) -> Floats:
    """(P, Q): the share of each unit score that is a tie."""
    result: Floats = table.judged * (1 - np.abs(2 * table.scores - 1))
    return result


def _outright_wins_connect(table: Table) -> bool:
    """Davidson 1970, section 3: outright wins connect the versions, so that all strengths and nu are finite."""
    margins = 2 * table.scores - table.judged
    won = table.scattered(np.maximum(margins, 0).sum(axis=0), np.maximum(-margins, 0).sum(axis=0))
    return bool(connected_components(won > 0, directed=True, connection="strong")[0] == 1)


def _weights(num_prompts: int, num: int, seed: int) -> Floats:
    """(B, P): how often each prompt was drawn, multinomial with equal chances."""
    drawn = np.random.default_rng(seed).integers(num_prompts, size=(num, num_prompts))
    flat = (drawn + num_prompts * np.arange(num)[:, None]).ravel()
    return np.bincount(flat, minlength=num * num_prompts).reshape(num, num_prompts).astype(np.float64)


def _strongly_connected(table: Table, sums: _Sums) -> Bools:
    """(B,): True where every version is reached from every other along taken points."""
    size = len(table.versions)
    forward, backward = sums.points > 1e-9, sums.counts - sums.points > 1e-9
    whole: Bools = np.all(forward & backward, axis=1)  # as the full table is connected
    rest = np.flatnonzero(~whole)
    reach = np.zeros((len(rest), size, size), dtype=np.float32)
    reach[:, np.arange(size), np.arange(size)] = 1
    reach[:, table.first, table.second] = forward[rest]
    reach[:, table.second, table.first] = backward[rest]
    for _ in range(max(size - 1, 1).bit_length()):  # each product doubles the length of the paths
        reach = np.minimum(reach @ reach, 1)
    whole[rest] = (reach > 0).all(axis=(1, 2))
    return whole


def _incidence(table: Table) -> Floats:
    """(Q, M): 1 for the first version of a pair, -1 for the second."""
    rows = np.arange(len(table.first))
    result = np.zeros((len(rows), len(table.versions)))
    result[rows, table.first], result[rows, table.second] = 1, -1
    return result


def _newton(table: Table, sums: _Sums, strengths: Floats, log_ties: Floats) -> tuple[Floats, Floats, Bools]:
    """Newton's iteration on B data sets at once, each until its step is short.

    strengths: (B, M) start, sum 0. log_ties: (B,) start of ln nu; without ties it stays where nu counts for nothing.
    Returns strengths, ln nu and which of them ended within MAX_STEPS.
    """
    incidence = _incidence(table)
    strengths, log_ties = strengths.copy(), np.where(sums.ties > 0, log_ties, -np.inf)
    open_rows = np.arange(len(strengths))
    for _ in range(MAX_STEPS):
        if not len(open_rows):
            break
        part = sums.only(open_rows) if len(open_rows) < len(strengths) else sums
        gradient, curvature = _slopes(table, incidence, part, strengths[open_rows], log_ties[open_rows])
        step = np.linalg.solve(curvature, gradient[:, :, None])[:, :, 0]
        longest = np.abs(step).max(axis=1)
        step *= np.minimum(1, LONGEST_STEP / np.maximum(longest, LONGEST_STEP))[:, None]
        strengths[open_rows] += step[:, :-1]
        log_ties[open_rows] += step[:, -1]
        open_rows = open_rows[~(longest < CLOSE)]
    ended = np.ones(len(strengths), dtype=np.bool_)
    ended[open_rows] = False
    return strengths - strengths.mean(axis=1, keepdims=True), log_ties, ended


def _expected(gaps: Floats, log_ties: Floats) -> tuple[Floats, Floats]:
    """Davidson's expected score of the first version, and chance of a tie. gaps: (B, Q); log_ties: (B,)."""
    rise = np.exp(np.clip(gaps, -200, 200) / 2)
    nu = np.exp(log_ties)[:, None]
    total = rise + 1 / rise + nu
    return (rise + nu / 2) / total, nu / total


def _slopes(table: Table, incidence: Floats, sums: _Sums, strengths: Floats, log_ties: Floats) -> tuple[Floats, Floats]:
    """Gradient (B, M + 1) and negative Hessian (B, M + 1, M + 1) of the log-likelihood in (strengths, ln nu).

    For the gap d of a pair: dl/dd = score - expected, -d2l/dd2 = ((1 - tie) - (2 expected - 1)^2) / 4, and the mixed
    one with ln nu is -tie (2 expected - 1) / 2. The constant direction, of which nothing is known, is given the
    curvature of the others; the gradient has no part in it. The same for ln nu where there are no ties.
    """
    size = strengths.shape[1]
    expected, tie = _expected(strengths[:, table.first] - strengths[:, table.second], log_ties)
    margin = 2 * expected - 1
    modelled = sums.ties > 0
    gradient = np.empty((len(strengths), size + 1))
    gradient[:, :-1] = (sums.points - sums.counts * expected) @ incidence
    gradient[:, -1] = np.where(modelled, sums.ties - (sums.counts * tie).sum(axis=1), 0)
    bend = sums.counts * ((1 - tie) - margin**2) / 4
    curvature = np.zeros((len(strengths), size + 1, size + 1))
    curvature[:, table.first, table.second] = curvature[:, table.second, table.first] = -bend
    own = bend @ np.abs(incidence)  # (B, M)
    ridge = RIDGE * sums.counts.sum(axis=1)
    curvature[:, np.arange(size), np.arange(size)] = own + ridge[:, None]
    curvature[:, :size, :size] += (own.mean(axis=1) / size)[:, None, None]
    curvature[:, :-1, -1] = curvature[:, -1, :-1] = (-sums.counts * tie * margin / 2) @ incidence
    curvature[:, -1, -1] = np.where(modelled, (sums.counts * tie * (1 - tie)).sum(axis=1) + ridge, 1)
    return gradient, curvature


def _sandwich(table: Table, sums: _Sums, tied: Floats, strengths: Floats, log_ties: Floats) -> Floats:
    """(M, M) covariance of the strengths, prompts as clusters."""
    incidence = _incidence(table)
    _, curvature = _slopes(table, incidence, sums, strengths, log_ties)
    expected, tie = _expected(strengths[:, table.first] - strengths[:, table.second], log_ties)
    slopes = np.zeros((table.num_prompts, len(table.versions) + 1))
    slopes[:, :-1] = (table.scores - table.judged * expected) @ incidence
    if sums.ties[0] > 0:
        slopes[:, -1] = (tied - table.judged * tie).sum(axis=1)
    spread = np.linalg.solve(curvature[0], slopes.T)  # (M + 1, P): how far each prompt alone moves the fit
    scale = table.num_prompts / (table.num_prompts - 1)
    result: Floats = scale * (spread @ spread.T)[:-1, :-1]
    return result
