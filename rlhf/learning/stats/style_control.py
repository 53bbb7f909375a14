"""What a win rate would be if both answers had the same length, or the same length and Markdown.

Of one candidate against one baseline by one judge, fitted alone, so that a new version never moves an older number:

    logit P(candidate wins) = theta + phi tanh(d / s) + sum_j psi_j (a_j - b_j) / (a_j + b_j)

d is the difference in characters and s its standard deviation over prompts; a_j and b_j count headers, list items and
bold spans of candidate and baseline, and 0 / 0 is 0. The controlled rate is sigma(theta), what is predicted where
nothing differs. Swapping the two turns it into exactly one minus itself, and a version against itself has exactly a
half. A small ridge on every coefficient keeps the fit finite where answers and outcomes can be separated.

Sources: Dubois et al. 2024 (arXiv 2404.04475) for tanh and the prediction at no difference, without their term of the
prompt's difficulty and with this ridge instead of their cross-validated L1 penalty; Arena's style control
(lm-sys/FastChat, 2024) for the relative differences. Intervals are theirs neither: they come from a refit to each of
many resamples of prompts.

What it can't know: if prompts on which both answers happen to be equally long are easier ones, their rate isn't the
one that all prompts would have at equal length. `Controls.overlap` says how many prompts carry the prediction.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from rlhf.learning.stats.intervals import FEW_CLUSTERS, FEW_EVENTS, clustered_mean, wilson
from rlhf.learning.stats.units import from_half

STYLE = ("characters", "headers", "lists", "bold")  # the columns of a table of styles
RIDGE = 0.1  # times half the squared coefficients, beside the summed log-likelihood: a prior of deviation 3.2 in logits
DIFFERS = 0.1  # of raw and length-controlled rate, from which AlpacaEval warns
NUM_RESAMPLES = 200
_STEP = 2.0  # longest Newton step, in logits
_CLOSE = 1e-5  # the last Newton step of a fit may be this long: what it leaves is about its square
_CELLS = 4_000_000  # resamples times prompts that are fitted at once
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Controlled:
    """A controlled win rate of the candidate, 0 to 1, and its interval over prompts."""

    win_rate: float
    low: float
    high: float


@dataclass(frozen=True)
class Controls:
    """Raw, length-controlled and style-controlled rate of one comparison."""

    raw: float
    length: Controlled
    style: Controlled
    length_ratio: float | None  # mean characters of the candidate's answers over the baseline's; None: it has none
    differs: bool  # raw and length-controlled by more than ten points
    overlap: float  # share of prompts with the rarer side longer, or as long: near 0 equal lengths are extrapolated


def controls(
    prompts: ArrayLike,
    scores: ArrayLike,
    candidate: ArrayLike,
    baseline: ArrayLike,
    num_resamples: int = NUM_RESAMPLES,
    confidence: float = 0.95,
    seed: int = 0,
) -> Controls:
    """All rates of one comparison by one judge; a prompt counts once however often it was judged.

    prompts: (n,) labels. scores: (n,) of the candidate, 0 to 1. candidate, baseline: (n, 4) counts, columns as STYLE.
    Raises ValueError for no rows, unequal lengths or scores outside.
    """
    ours, theirs = np.asarray(candidate, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    if ours.ndim != 2 or ours.shape[1] != len(STYLE) or ours.shape != theirs.shape:
        raise ValueError(f"style control: expected (n, 4) counts of both answers, found {ours.shape}, {theirs.shape}")
    resampling = (num_resamples, confidence, seed)
    length = length_controlled(prompts, scores, ours[:, 0], theirs[:, 0], *resampling)
    columns = np.column_stack([ours[:, 0] - theirs[:, 0], _relative(ours[:, 1:], theirs[:, 1:])])
    units, values = _per_prompt(prompts, scores, columns)
    style = _controlled(units, _with_length(values), *resampling)
    raw = from_half(math.fsum(units) / units.size)
    ratio = float(ours[:, 0].sum() / theirs[:, 0].sum()) if theirs[:, 0].any() else None
    overlap = min(float((values[:, 0] >= 0).mean()), float((values[:, 0] <= 0).mean()))
    return Controls(raw, length, style, ratio, abs(raw - length.win_rate) > DIFFERS, overlap)


def length_controlled(
    prompts: ArrayLike,
    scores: ArrayLike,
    candidate_characters: ArrayLike,
    baseline_characters: ArrayLike,
    num_resamples: int = NUM_RESAMPLES,
    confidence: float = 0.95,
    seed: int = 0,
) -> Controlled:
    """sigma(theta) of the fit with length alone, and its interval; arguments and errors as in `controls`.

    Where every answer is longer by the same length, length can't be told from quality: nothing is controlled for.
    """
    ours = np.asarray(candidate_characters, dtype=np.float64)
    difference = ours - np.asarray(baseline_characters, dtype=np.float64)
    units, values = _per_prompt(prompts, scores, difference[:, None])
    return _controlled(units, _with_length(values), num_resamples, confidence, seed)


def fit(design: Floats, deviations: Floats, weights: Floats, start: Floats) -> Floats:
    """Coefficients (B, K) of B weighted logistic regressions at once, by Newton's method with steps of at most 2.

    Maximises sum_k w_bk (y_k log p_k + (1 - y_k) log(1 - p_k)) - RIDGE |beta_b|^2 / 2, y in [0, 1]; strictly concave.

    design: (P, K). deviations: (P,), y - 1/2. weights: (B, P), 0 or more. start: (K,) or (B, K).
    """
    num, size = len(weights), design.shape[1]
    outer = (design[:, :, None] * design[:, None, :]).reshape(-1, size * size)  # (P, K K)
    beta = np.broadcast_to(start, (num, size)).copy()
    for _ in range(200):
        half = np.tanh(beta @ design.T / 2) / 2  # (B, P): p - 1/2, odd in beta to the last bit
        gradient = (weights * (deviations - half)) @ design - RIDGE * beta
        curvature = ((weights * (0.25 - half * half)) @ outer).reshape(num, size, size) + RIDGE * np.eye(size)
        step = np.linalg.solve(curvature, gradient[:, :, None])[:, :, 0]  # (B, K)
        longest = np.abs(step).max(axis=1, keepdims=True)
        beta += step * np.minimum(1.0, _STEP / np.maximum(longest, 1e-300))
        if longest.max() < _CLOSE:
            break
    return beta


def _per_prompt(prompts: ArrayLike, scores: ArrayLike, columns: Floats) -> tuple[Floats, Floats]:
    """(P,) deviations of the unit scores from one half and (P, K) means of the columns."""
    labels, deviations = np.asarray(prompts), np.asarray(scores, dtype=np.float64) - 0.5
    if not labels.size or not labels.size == deviations.size == len(columns):
        found = f"{labels.size}, {deviations.size} and {len(columns)}"
        raise ValueError(f"style control: expected as many prompts as scores and counts, at least one, found {found}")
    if not (np.abs(deviations) <= 0.5).all():
        raise ValueError("style control: expected scores from 0 to 1, found others")
    _, index = np.unique(labels, return_inverse=True)
    num = np.bincount(index)
    means = [np.bincount(index, weights=column) / num for column in columns.T]
    return np.bincount(index, weights=deviations) / num, np.stack(means, axis=1)


def _relative(ours: Floats, theirs: Floats) -> Floats:
    total = ours + theirs
    return np.divide(ours - theirs, total, out=np.zeros_like(total), where=total > 0)


def _with_length(values: Floats) -> Floats:
    """(P, K + 1): a constant, tanh(d / s) of the first column, the others as they are."""
    difference = values[:, 0]
    scale = float(np.std(difference))
    length = np.tanh(difference / scale) if scale > 1e-9 else np.zeros(len(values))
    return np.column_stack([np.ones(len(values)), length, values[:, 1:]])


def _controlled(deviations: Floats, design: Floats, num_resamples: int, confidence: float, seed: int) -> Controlled:
    num = len(deviations)
    full = fit(design, deviations, np.ones((1, num)), np.zeros(design.shape[1]))[0]
    draws = [fit(design, deviations, weights, full)[:, 0] for weights in _resamples(num, num_resamples, seed)]
    theta = float(full[0])
    half = float(stdtrit(max(1, num - 1), (1 + confidence) / 2)) * float(np.std(np.concatenate(draws), ddof=1))
    low, high = _rate(theta - half), _rate(theta + half)
    return _never_too_narrow(Controlled(_rate(theta), low, high), deviations, confidence)


def _resamples(num: int, num_resamples: int, seed: int) -> Iterator[Floats]:
    """How often each of `num` prompts is drawn, in pieces (B, num) of bounded size."""
    if num * num_resamples <= _CELLS:
        yield _drawn(num, num_resamples, seed)
        return
    random, at_once = np.random.default_rng(seed), max(1, _CELLS // num)
    for begin in range(0, num_resamples, at_once):
        yield _multinomial(random, num, min(at_once, num_resamples - begin))


@lru_cache(maxsize=1)
def _drawn(num: int, num_resamples: int, seed: int) -> Floats:
    """The same for the hundreds of comparisons on as many prompts."""
    weights = _multinomial(np.random.default_rng(seed), num, num_resamples)
    weights.flags.writeable = False
    return weights


def _multinomial(random: np.random.Generator, num: int, size: int) -> Floats:
    return random.multinomial(num, np.full(num, 1 / num), size=size).astype(np.float64)


def _rate(logit: float) -> float:
    return from_half(math.tanh(logit / 2) / 2)


def _never_too_narrow(found: Controlled, deviations: Floats, confidence: float) -> Controlled:
    """Where resamples can't tell (few prompts, wins or losses), Wilson's interval too, at the raw effective size."""
    raw = clustered_mean(np.clip(deviations + 0.5, 0, 1), np.arange(deviations.size), confidence)
    variance = raw.mean * (1 - raw.mean)
    spread = raw.standard_error > 1e-12
    effective = min(float(deviations.size), variance / raw.standard_error**2) if spread else float(deviations.size)
    if deviations.size >= FEW_CLUSTERS and spread and effective * min(raw.mean, 1 - raw.mean) >= FEW_EVENTS:
        return found
    low, high = wilson(found.win_rate, max(effective, 1.0), confidence)
    return Controlled(found.win_rate, min(found.low, max(low, 0.0)), max(found.high, min(high, 1.0)))
