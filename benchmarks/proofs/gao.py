"""Over-optimisation in the form of Gao, Schulman and Hilton 2022 (2210.10760, section 3): gold against d = sqrt(KL).

    best-of-n: d (alpha - beta d), peak at alpha / (2 beta)    RL: d (alpha - beta ln d), peak at e^(alpha / beta - 1)

Gold is counted from the start, where d = 0. Both forms are linear in alpha and beta: least squares, no search.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
FORMS = ("reinforcement learning", "best of n")


@dataclass(frozen=True)
class Curve:
    form: str  # one of FORMS
    alpha: float
    beta: float
    r_squared: float  # on the points that it was fitted to

    @property
    def peak(self) -> float:
        """sqrt(KL) of the highest gold; infinite where the curve never falls."""
        if self.beta <= 0 or self.alpha <= 0:
            return math.inf
        if self.form == "best of n":
            return self.alpha / (2 * self.beta)
        return math.exp(min(self.alpha / self.beta - 1, 700.0))

    def __call__(self, d: ArrayLike) -> Floats:
        found: Floats = _terms(self.form, np.asarray(d, dtype=np.float64)) @ np.array([self.alpha, self.beta])
        return found


def fit(form: str, d: ArrayLike, gold: ArrayLike) -> Curve:
    """Least squares through (0, 0).

    d: (n,) above 0, n at least 2. gold: (n,), less the start's.
    """
    x, y = np.asarray(d, dtype=np.float64), np.asarray(gold, dtype=np.float64)
    if form not in FORMS or len(x) < 2 or (x <= 0).any():
        raise ValueError(f"fit: expected a form of {FORMS} and two points above 0 or more, found {form!r} and {x}")
    (alpha, beta), *_ = np.linalg.lstsq(_terms(form, x), y, rcond=None)
    curve = Curve(form, float(alpha), float(beta), math.nan)
    left, spread = float(np.square(y - curve(x)).sum()), float(np.square(y - y.mean()).sum())
    return Curve(form, float(alpha), float(beta), 1 - left / spread if spread else math.nan)


def highest(d: ArrayLike, gold: ArrayLike, width: int = 3) -> int:
    """Index of the peak: where the mean over `width` neighbouring points is highest, d ascending."""
    order = np.argsort(np.asarray(d))
    values = np.asarray(gold, dtype=np.float64)[order]
    reach = width // 2
    means = [values[max(0, i - reach) : i + reach + 1].mean() for i in range(len(values))]
    return int(order[int(np.argmax(means))])


def _terms(form: str, d: Floats) -> Floats:
    """(n, 2): what alpha and beta are multiplied with."""
    return np.stack([d, -d * d if form == "best of n" else -d * np.log(d)], axis=-1)
