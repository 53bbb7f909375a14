"""Position bias: a judge that always takes the first, a fair one, and both by hand."""

import math

import numpy as np
import pytest
from scipy.special import expit

from rlhf.learning.stats.positions import position


def test_always_first_is_never_consistent_and_surely_biased() -> None:
    found = position(range(40), np.ones(40), np.zeros(40))
    assert (found.consistency, found.num_first, found.num_second) == (0, 40, 0)
    assert found.p < 1e-6
    assert found.low > 0 and math.isfinite(found.high)


def test_always_second_mirrors_always_first() -> None:
    first, second = position(range(40), np.ones(40), np.zeros(40)), position(range(40), np.zeros(40), np.ones(40))
    assert (second.bias, second.low, second.high) == pytest.approx((-first.bias, -first.high, -first.low))
    assert (second.num_first, second.num_second, second.p) == (0, 40, first.p)


def test_nine_against_three_by_hand() -> None:
    candidate_first = [1.0] * 9 + [0.0] * 3 + [1.0] * 20 + [0.0] * 8
    baseline_first = [0.0] * 9 + [1.0] * 3 + [1.0] * 20 + [0.0] * 8
    found = position(range(40), candidate_first, baseline_first)
    assert (found.num_pairs, found.consistency, found.num_first, found.num_second) == (40, 0.7, 9, 3)
    assert found.p == pytest.approx(2 * (1 + 12 + 66 + 220) / 2**12)  # of 12 throws of a coin, 3 heads or fewer
    assert found.bias == pytest.approx(math.log(9.5 / 3.5) / 2)
    assert found.standard_error == pytest.approx(math.sqrt(1 / 9.5 + 1 / 3.5) / 2)


def test_a_judge_with_probabilities_gives_its_bias_back_whatever_the_pairs() -> None:
    quality = np.random.default_rng(0).normal(0, 2, 100_000)
    found = position(range(100_000), expit(quality + 0.4), expit(quality - 0.4))
    assert found.bias == pytest.approx(0.4, abs=1e-4)


def test_swapping_candidate_and_baseline_changes_nothing() -> None:
    random = np.random.default_rng(0)
    first, second = random.choice([0, 0.5, 1], (2, 80))
    prompts = np.arange(80) // 2
    one, other = position(prompts, first, second), position(prompts, 1 - second, 1 - first)
    assert (one.num_first, one.num_second, one.consistency) == (other.num_first, other.num_second, other.consistency)
    assert (one.bias, one.low, one.high) == pytest.approx((other.bias, other.low, other.high), abs=1e-12)


def test_a_tie_in_both_orders_is_consistent_and_a_tie_in_one_is_not() -> None:
    assert position([1, 2], [0.5, 0.5], [0.5, 1.0]).consistency == 0.5


def test_judging_the_pairs_of_a_prompt_again_proves_little_more() -> None:
    first, second = [1.0] * 20 + [0.0] * 10, [0.0] * 20 + [1.0] * 10
    once = position(range(30), first, second)
    again = position(list(range(30)) * 4, first * 4, second * 4)
    assert again.standard_error == pytest.approx(once.standard_error, rel=0.05)


def test_a_fair_judges_interval_covers_0(capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(1)
    runs, covered = 2_000, 0
    for _ in range(runs):
        chances = expit(random.normal(0.3, 1.5, 100))
        first, second = random.random((2, 100)) < chances
        found = position(range(100), first, second)
        covered += found.low <= 0 <= found.high
    with capsys.disabled():
        print(f"\nfair judge: {covered / runs:.1%} cover 0; Monte Carlo error {math.sqrt(0.05 * 0.95 / runs):.1%}")
    assert covered / runs >= 0.94


def test_a_biased_judges_interval_covers_its_bias(capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(2)
    runs, covered = 2_000, 0
    for _ in range(runs):
        quality = np.repeat(random.normal(0, 1, 60), 2)  # two pairs of each of 60 prompts
        lean = 0.5
        first, second = random.random((2, 120)) < np.stack([expit(quality + lean), expit(quality - lean)])
        found = position(np.arange(120) // 2, first, second)
        covered += found.low <= lean <= found.high
    with capsys.disabled():
        print(f"\nbiased judge: {covered / runs:.1%} cover; Monte Carlo error {math.sqrt(0.05 * 0.95 / runs):.1%}")
    assert 0.93 <= covered / runs <= 0.97


def test_no_pairs_and_impossible_scores_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        position([], [], [])
    with pytest.raises(ValueError, match="from 0 to 1"):
        position([1], [1.5], [0.0])
