"""Calibration by hand, and what it must not depend on."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rlhf.learning.stats.calibration import calibration


def test_by_hand() -> None:
    """Four comparisons of confidence .8, three right; four of .6 (told from the other side), one right."""
    p, y = [0.8] * 4 + [0.4] * 4, [1, 1, 1, 0] + [0, 1, 1, 1]
    found = calibration(p, y, range(8), num_bins=2)
    assert [(b.confidence, b.accuracy, b.num_pairs) for b in found.bins] == [
        (pytest.approx(0.6), 0.25, 4),
        (pytest.approx(0.8), 0.75, 4),
    ]
    assert found.expected_calibration_error == pytest.approx((0.35 * 4 + 0.05 * 4) / 8)
    assert found.brier == pytest.approx((3 * 0.04 + 0.64 + 0.16 + 3 * 0.36) / 8)
    expected = -(3 * math.log(0.8) + math.log(0.2) + math.log(0.6) + 3 * math.log(0.4)) / 8
    assert found.log_loss == pytest.approx(expected)


def test_the_other_side_gives_the_same_numbers() -> None:
    random = np.random.default_rng(0)
    p = random.random(200)
    y = (random.random(200) < p).astype(float)
    assert calibration(p, y, range(200)) == calibration(1 - p, 1 - y, range(200))


def test_true_probabilities_are_calibrated_and_doubled_log_odds_are_not() -> None:
    random = np.random.default_rng(1)
    odds = random.normal(size=20_000)
    y = random.random(20_000) < 1 / (1 + np.exp(-odds))
    true, doubled = (calibration(1 / (1 + np.exp(-k * odds)), y, range(20_000)) for k in (1, 2))
    assert true.expected_calibration_error < 0.015 and doubled.expected_calibration_error > 0.08
    assert true.brier < doubled.brier and true.log_loss < doubled.log_loss
    assert all(b.low <= b.accuracy <= b.high for b in true.bins)
    assert sum(b.low - 0.01 <= b.confidence <= b.high + 0.01 for b in true.bins) == 10


def test_a_coin_scores_a_quarter_and_ln_two() -> None:
    found = calibration([0.5] * 10, [1, 0] * 5, range(10))
    assert (found.brier, found.expected_calibration_error) == (0.25, 0.0)
    assert found.log_loss == pytest.approx(math.log(2))


def test_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="expected at least one comparison"):
        calibration([], [], [])
