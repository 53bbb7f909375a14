"""Many questions at once: paired tests of unit scores, Holm over a chain of versions, Benjamini-Hochberg and shrinkage
over slices. Every test asks whether the mean unit score differs from 1/2, with prompts as the units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr

FEW_PROMPTS = 30  # below it signs are flipped instead of trusting t
EXACT_PROMPTS = 12  # up to it all 2^n sign flips are counted
NUM_FLIPS = 9_999
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Step:
    """What a chain says about one version against the one before."""

    p: float  # two-sided against 1/2
    p_holm: float
    verdict: str  # better, worse or open


def holm(p: ArrayLike, weights: ArrayLike | None = None) -> Floats:
    """Holm's adjusted p values: those at most alpha keep the chance of any false one at alpha (Holm 1979).

    In the order of p / w each is p / w times the weight that is left, never below the one before. Weights that add up
    to less than 1 keep the rest for questions to come: then the promise holds for those too, and an answer is never
    taken back when one is added.

    p: (m,) in [0, 1], any order. weights: (m,) above 0 with a sum of at most 1, set before p is seen; 1 / m each if
    None. Returns (m,) in the order given. Raises ValueError for numbers outside.
    """
    values = _p_values(p)
    shares = np.full(len(values), 1 / max(len(values), 1)) if weights is None else np.asarray(weights, dtype=np.float64)
    if not ((shares > 0).all() and shares.sum() <= 1 + 1e-9):
        raise ValueError(f"holm: expected weights above 0 with a sum of at most 1, found {shares.tolist()}")
    order = np.argsort(values / shares, kind="stable")
    left = 1 - np.concatenate([[0.0], np.cumsum(shares[order])[:-1]]) if len(values) else values
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate((values / shares)[order] * left), 1.0)
    return adjusted


def benjamini_hochberg(p: ArrayLike) -> Floats:
    """q values: calling those at most alpha keeps the share of false calls near alpha (Benjamini & Hochberg 1995).

    p: (m,) in [0, 1], any order; returns (m,) in the same order. Raises ValueError for numbers outside.
    """
    values = _p_values(p)
    order = np.argsort(values, kind="stable")[::-1]
    steps = np.minimum.accumulate(values[order] * len(values) / np.arange(len(values), 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


def paired_test(scores: ArrayLike, seed: int = 0) -> float:
    """The two-sided p value of "the mean unit score is 1/2".

    Student's t over prompts from FEW_PROMPTS on. With fewer, the share of sign flips of the deviations from 1/2 whose
    sum is at least as far from 0 (Fisher's randomisation test): all 2^n up to EXACT_PROMPTS, else NUM_FLIPS drawn by
    the seed and the observed one. Equal scores have no spread to divide by; there the share is exactly 2^(1 - n).

    scores: (n,) one per prompt, 0 to 1. Swapping the versions (1 - score) gives the same p. Raises ValueError for none.
    """
    deviations = np.asarray(scores, dtype=np.float64) - 0.5
    num = deviations.size
    if not num:
        raise ValueError("paired test: expected at least one unit score, found none")
    mean, spread = float(deviations.mean()), float(deviations.std(ddof=1)) if num > 1 else 0.0
    if abs(mean) < 1e-12:
        return 1.0
    if spread < 1e-12:
        return float(2.0 ** (1 - num))
    if num < FEW_PROMPTS:
        return _sign_flips(np.sort(np.abs(deviations)), abs(float(deviations.sum())), seed)
    return float(2 * stdtr(num - 1, -abs(mean) / (spread / num**0.5)))


def chain(rates: ArrayLike, p: ArrayLike, confidence: float = 0.95) -> list[Step]:
    """Each version of a project against the one before, with Holm over the whole chain and all that is still to come.

    Step t has the weight 6 / (pi^2 t^2); they add up to 1 over all t. In a project without any difference somebody is
    ever called better or worse with a chance of at most 1 - confidence, however often the growing chain is looked at
    (with equal weights over the steps so far it is 1 - confidence at each look). A verdict is never taken back when a
    version is added, and steps that were found leave their weight to the others.

    rates: (m,) win rates over the version before, oldest step first. p: (m,) two-sided against 1/2. Returns m steps.
    """
    values, numbers = _p_values(p), np.asarray(rates, dtype=np.float64)
    adjusted = holm(values, 6 / (np.pi * np.arange(1, len(values) + 1)) ** 2)
    return [
        Step(float(raw), float(held), "open" if held > 1 - confidence else "better" if rate > 0.5 else "worse")
        for rate, raw, held in zip(numbers, values, adjusted, strict=True)
    ]


def shrunk(rates: ArrayLike, standard_errors: ArrayLike, num_prompts: ArrayLike, overall: float) -> Floats:
    """Empirical-Bayes win rates of slices: overall + tau^2 / (tau^2 + v_s) (rate_s - overall).

    v_s is the variance of one prompt pooled over slices, divided by the slice's prompts (a slice without spread is not
    believed to have none), and tau^2 the spread of true rates between slices by moments (DerSimonian & Laird 1986),
    never below 0: slices no further apart than chance all get the overall rate.

    rates, standard_errors, num_prompts: (S,), of at least one prompt each. overall: the rate over all prompts.
    """
    rate, error, num = (np.asarray(v, dtype=np.float64) for v in (rates, standard_errors, num_prompts))
    if not rate.size:
        return rate
    pooled = float((num * (num * error**2)).sum() / num.sum())
    if pooled <= 0:
        return rate.copy()
    weights = num / pooled  # 1 / v_s
    excess = float((weights * (rate - overall) ** 2).sum()) - (len(rate) - 1)
    scale = float(weights.sum() - (weights**2).sum() / weights.sum())
    between = max(excess / scale, 0.0) if scale > 0 else 0.0
    result: Floats = overall + between / (between + 1 / weights) * (rate - overall)
    return result


def _p_values(p: ArrayLike) -> Floats:
    values = np.asarray(p, dtype=np.float64).reshape(-1)
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("p values: expected numbers from 0 to 1, found others")
    return values


def _sign_flips(sizes: Floats, observed: float, seed: int) -> float:
    """sizes: (n,) sorted absolute deviations, so that neither the order of prompts nor a swap changes the draw."""
    num = len(sizes)
    if num <= EXACT_PROMPTS:
        signs = 1.0 - 2.0 * ((np.arange(2**num)[:, None] >> np.arange(num)) & 1)
        return float((np.abs(signs @ sizes) >= observed - 1e-9).mean())
    signs = 1.0 - 2.0 * np.random.default_rng(seed).integers(2, size=(NUM_FLIPS, num))
    return float((1 + (np.abs(signs @ sizes) >= observed - 1e-9).sum()) / (1 + NUM_FLIPS))
