"""How rewards move from version to version: by hand and by invariance."""

import numpy as np
import pytest

from rlhf.learning.stats.reward_shift import reward_shift


def test_a_shift_by_ten_of_a_hundred_by_hand() -> None:
    found = reward_shift({3: np.arange(100.0), 7: np.arange(100.0) + 10})
    sd = np.sqrt(100 * 101 / 12)  # of 0 .. 99 with n - 1
    assert list(found) == [3, 7]
    first, second = found[3], found[7]
    assert (first.num, first.mean, first.sd) == (100, 49.5, pytest.approx(sd))
    assert (first.standard_mean, first.wasserstein, first.ks) == (0, 0, 0)
    assert first.share_above_p99 == 0.01  # of 0 .. 99 only 99 lies above 98.01
    assert second.standard_mean == second.wasserstein == pytest.approx(10 / sd)
    assert second.ks == pytest.approx(0.1)
    assert second.share_above_p99 == 0.11
    assert second.quantiles[0] == 10 and second.quantiles[10] == 59.5 and second.quantiles[20] == 109
    assert len(second.quantiles) == 21 and list(second.quantiles) == sorted(second.quantiles)


def test_a_spread_moves_no_mean_but_is_seen() -> None:
    found = reward_shift({1: [-1.0, 1.0] * 50, 2: [-3.0, 3.0] * 50})[2]
    assert found.standard_mean == pytest.approx(0)
    assert found.wasserstein == pytest.approx(2 / np.sqrt(100 / 99))
    assert (found.ks, found.share_above_p99) == (0.5, 0.5)


def test_scale_and_zero_of_the_reward_model_change_no_standardised_number() -> None:
    random = np.random.default_rng(0)
    rewards = {1: random.normal(size=200), 2: random.normal(0.5, 2, 150)}
    one, other = reward_shift(rewards)[2], reward_shift({k: 3 * v - 7 for k, v in rewards.items()})[2]
    assert other.standard_mean == pytest.approx(one.standard_mean)
    assert other.wasserstein == pytest.approx(one.wasserstein)
    assert (other.ks, other.share_above_p99) == pytest.approx((one.ks, one.share_above_p99))


def test_a_first_version_without_spread_has_no_standardised_numbers() -> None:
    found = reward_shift({1: [2.0], 2: [3.0, 4.0]})
    assert found[1].sd == 0
    assert (found[2].standard_mean, found[2].wasserstein, found[2].ks) == (None, None, 1.0)


def test_no_versions_are_none_and_no_rewards_are_refused() -> None:
    assert reward_shift({}) == {}
    with pytest.raises(ValueError, match="version 2"):
        reward_shift({1: [1.0], 2: []})
    with pytest.raises(ValueError, match="version 1"):
        reward_shift({1: [float("nan")]})
