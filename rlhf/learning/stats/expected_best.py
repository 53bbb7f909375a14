"""The expected best and median of n scores, for every n, from one pool of N: no resampling, no bias; and their KL."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaln


def expected_best(scores: ArrayLike) -> dict[int, float]:
    """E[max of n] = sum_i C(i - 1, n - 1) / C(N, n) r_(i) with r_(1) <= ... <= r_(N), averaged over prompts.

    This is the mean of the maximum over all C(N, n) subsets, an unbiased estimate for n fresh samples (the estimator
    that Chen et al. 2021 use for pass@k). n = 1 is the mean score, n = N the mean of the best.

    scores: (P, N), N samples of each of P prompts. Returns {n: expected best score} for n = 1 .. N.
    """
    ordered = np.sort(np.asarray(scores, dtype=np.float64), axis=1).mean(axis=0)  # (N,), mean i-th smallest
    size = len(ordered)
    curve = {}
    for n in range(1, size + 1):
        places = np.arange(n, size + 1)  # the largest of n can't be among the n - 1 smallest
        weights = np.exp(_log_choose(places - 1, n - 1) - _log_choose(np.array(size), n))
        curve[n] = float((weights * ordered[n - 1 :]).sum())
    return curve


def expected_median(scores: ArrayLike) -> dict[int, float]:
    """E[median of n], averaged over prompts: the mean of the median over all C(N, n) subsets (Llama 2, Figure 7).

    The k-th smallest of a subset is r_(i) with probability C(i - 1, k - 1) C(N - i, n - k) / C(N, n); the median of an
    even n is the mean of its two middle scores.

    scores: (P, N). Returns {n: expected median} for n = 1 .. N; n = 1 is the mean score.
    """
    ordered = np.sort(np.asarray(scores, dtype=np.float64), axis=1).mean(axis=0)  # (N,)
    size = len(ordered)
    places = np.arange(1, size + 1)

    def smallest(k: int, n: int) -> float:
        there = (places >= k) & (places <= size - (n - k))
        i = places[there]
        weights = np.exp(_log_choose(i - 1, k - 1) + _log_choose(size - i, n - k) - _log_choose(np.array(size), n))
        return float((weights * ordered[there]).sum())

    return {n: (smallest((n + 1) // 2, n) + smallest(n // 2 + 1, n)) / 2 for n in range(1, size + 1)}


def kl_upper_bound(n: int) -> float:
    """ln n - (n - 1) / n, in nats: the KL of best-of-n to the policy where no completion is likely (Stiennon et al.
    2020, section 3; exact for a continuous distribution), and an upper bound of it everywhere (Beirami et al. 2024,
    2401.01879, theorem 3.1). Raises ValueError below n = 1.
    """
    if n < 1:
        raise ValueError(f"best of n: expected n of at least 1, found {n}")
    return math.log(n) - (n - 1) / n


def _log_choose(total: np.ndarray, chosen: int) -> np.ndarray:
    result: np.ndarray = gammaln(total + 1) - gammaln(chosen + 1) - gammaln(total - chosen + 1)
    return result
