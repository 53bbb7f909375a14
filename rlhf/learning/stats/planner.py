"""How many prompts it takes to tell two versions apart. math only: any process may import it."""

from __future__ import annotations

import math
from statistics import NormalDist

MAX_PROMPTS = 100_000  # beyond it "more prompts" is no advice


def prompts_needed(
    rate: float, standard_error: float, num_prompts: int, *, power: float = 0.8, confidence: float = 0.95
) -> int | None:
    """Prompts in all that separate the win rate from 1/2, if it is truly the one observed.

    N = (z_a sqrt(s^2 + d^2) + z_b s)^2 / d^2, rounded up: d = rate - 1/2, s^2 = num_prompts * standard_error^2 the
    variance of one prompt's unit score (ties and the design effect of clusters are in it), s^2 + d^2 the same if the
    rate were 1/2; z_a and z_b the normal quantiles of a two-sided test and of its power. A rate that looks large by
    luck makes N too small: it is an estimate for the observed gap, not a promise.

    rate: 0 to 1. standard_error: of the rate, clustered. Returns None where nothing can be planned: fewer than two
    prompts, no spread between them, or more than MAX_PROMPTS needed. Raises ValueError for a rate outside [0, 1].
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"planner: expected a rate from 0 to 1, found {rate}")
    gap = abs(rate - 0.5)
    spread = math.sqrt(max(num_prompts, 0)) * standard_error
    if num_prompts < 2 or not spread > 1e-9 or gap < 1e-9:
        return None
    to_reject, to_find = NormalDist().inv_cdf((1 + confidence) / 2), NormalDist().inv_cdf(power)
    needed = ((to_reject * math.hypot(spread, gap) + to_find * spread) / gap) ** 2
    return math.ceil(needed) if needed <= MAX_PROMPTS else None
