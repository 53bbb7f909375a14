"""Win rates that may be looked at after every judgment. numpy and math only: the web process imports this.

A fixed 95 % interval looked at again and again names a winner of two equal versions sooner or later. The bounds here
hold at all looks together, as long as prompts are judged in random order: an asymptotic confidence sequence for any
unit scores. While a run is in progress pages show it; when it is complete they show the fixed interval.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

FIRST_LOOK = 50  # prompts before which the asymptotic sequence says nothing
TIGHTEST = 1_000  # prompts at which the sequence is tightest
FEWEST_DECIDED = 20  # prompts whose score is not 1/2 before which no spread is believed
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Look:
    """What may be said now, though nobody knows yet how long the run will go on."""

    num_prompts: int
    mean: float
    low: float  # of the confidence sequence; 0 and 1 before the first look
    high: float
    winner: str | None  # "candidate", "baseline" or None: not yet


def look(scores: ArrayLike, confidence: float = 0.95) -> Look:
    """The state of a run in progress after these unit scores; a winner is named once the sequence excludes 1/2.

    scores: (n,) one per prompt, in the order judged, 0 to 1. Raises ValueError for none.
    """
    values = np.asarray(scores, dtype=np.float64)
    if not values.size:
        raise ValueError("sequence: expected at least one unit score, found none")
    low, high = confidence_sequence(values, confidence)
    last_low, last_high = float(low[-1]), float(high[-1])
    winner = "candidate" if last_low > 0.5 else "baseline" if last_high < 0.5 else None
    return Look(int(values.size), float(values.mean()), last_low, last_high, winner)


def confidence_sequence(scores: ArrayLike, confidence: float = 0.95) -> tuple[Floats, Floats]:
    """Bounds of the running mean after every score: mean +- s sqrt(2 (n r^2 + 1) / (n^2 r^2) ln(sqrt(n r^2 + 1) / a)).

    Waudby-Smith et al. 2024 (arXiv 2103.06476, theorem 2.2), a = 1 - confidence, r set by their equation for the
    tightest bounds at TIGHTEST prompts, s^2 the mean square of the deviations from 1/2 (never less than the
    variance). Bounds are 0 and 1 before FIRST_LOOK prompts and FEWEST_DECIDED scores other than 1/2: with fewer the
    asymptotics don't hold.

    scores: (..., n) in the order judged, 0 to 1; each row is a run of its own. Returns low and high, both (..., n).
    """
    deviations = np.asarray(scores, dtype=np.float64) - 0.5
    alpha = 1 - confidence
    num = np.arange(1, deviations.shape[-1] + 1)
    mean = np.cumsum(deviations, axis=-1) / num
    spread = np.sqrt(np.cumsum(deviations**2, axis=-1) / num)
    ratio = _tightness(alpha)
    grown = num * ratio + 1
    half = spread * np.sqrt(2 * grown / (num**2 * ratio) * np.log(np.sqrt(grown) / alpha))
    open_ = (num < FIRST_LOOK) | (np.cumsum(np.abs(deviations) > 1e-9, axis=-1) < FEWEST_DECIDED)
    low, high = np.maximum(mean - half, -0.5), np.minimum(mean + half, 0.5)
    return 0.5 + np.where(open_, -0.5, low), 0.5 + np.where(open_, 0.5, high)


def _tightness(alpha: float) -> float:
    """r^2 for bounds that are tightest at TIGHTEST prompts (arXiv 2103.06476, appendix B.2)."""
    return (-2 * math.log(alpha) + math.log(-2 * math.log(alpha)) + 1) / TIGHTEST
