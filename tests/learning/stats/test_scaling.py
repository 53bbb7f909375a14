"""The slope of accuracy per doubling: exact on a line, and an interval that holds what it promises."""

from __future__ import annotations

import numpy as np
import pytest

from rlhf.learning.stats.scaling import slope


def test_a_line_by_hand() -> None:
    """60, 70 and 80 of 100 right at 100, 200 and 400 rankings: ten points per doubling."""
    outcomes = [[1.0] * k + [0.0] * (100 - k) for k in (60, 70, 80)]
    found = slope([100, 200, 400], outcomes, range(100))
    assert found.per_doubling == pytest.approx(0.1) and found.accuracies == (0.6, 0.7, 0.8)
    assert found.low < 0.1 < found.high


def test_models_that_are_right_and_wrong_together_have_a_sure_slope() -> None:
    same = [[1.0, 0.0] * 50] * 2
    found = slope([10, 20], same, range(100))
    assert (found.per_doubling, found.standard_error) == (0.0, 0.0)


def test_the_interval_holds_the_true_slope_in_about_95_percent() -> None:
    hits = 0
    for seed in range(400):
        random = np.random.default_rng(seed)
        hard = np.repeat(random.random(150), 2)  # two comparisons a prompt, the same for every model
        outcomes = [(0.4 * hard + 0.6 * random.random(300) < p).astype(float) for p in (0.5, 0.55, 0.6)]
        chances = [_chance(p) for p in (0.5, 0.55, 0.6)]
        found = slope([1, 2, 4], outcomes, np.repeat(np.arange(150), 2))
        hits += found.low <= (chances[2] - chances[0]) / 2 <= found.high
    assert 0.92 < hits / 400 < 0.98


def _chance(p: float) -> float:
    """P(0.4 U + 0.6 V < p), by a fine grid."""
    u = (np.arange(2000) + 0.5) / 2000
    return float(np.clip((p - 0.4 * u) / 0.6, 0, 1).mean())


def test_one_size_or_one_prompt_is_refused() -> None:
    with pytest.raises(ValueError, match="expected two sizes and two prompts"):
        slope([5, 5], [[1.0, 0.0]] * 2, [1, 2])
    with pytest.raises(ValueError, match="expected two sizes and two prompts"):
        slope([5, 10], [[1.0, 0.0]] * 2, [1, 1])
