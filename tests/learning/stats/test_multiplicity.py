"""Paired tests and many questions at once: by hand, by property, and a null chain of ten versions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, false_discovery_control, ttest_1samp

from rlhf.learning.stats.multiplicity import benjamini_hochberg, chain, holm, paired_test, shrunk

p_values = st.lists(st.floats(0, 1), min_size=1, max_size=12)
unit_scores = st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), min_size=1, max_size=60)


def test_holm_by_hand() -> None:
    # Sorted .01 x 4, .02 x 3, .03 x 2, .04 x 1 = .04, .06, .06, .04; never below the one before.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])


def test_benjamini_hochberg_by_hand() -> None:
    # Sorted .01 x 4 / 1, .02 x 4 / 2, .04 x 4 / 3, .5 x 4 / 4.
    assert benjamini_hochberg([0.5, 0.01, 0.04, 0.02]) == pytest.approx([0.5, 0.04, 0.16 / 3, 0.04])


def test_holm_with_weights_by_hand() -> None:
    # .01 / .5 = .02 first, with all the weight; then .03 / .25 = .12 with half of it left; a quarter is kept.
    assert holm([0.03, 0.01], [0.25, 0.5]) == pytest.approx([0.06, 0.02])
    assert holm([0.04, 0.01, 0.03, 0.02], [0.25] * 4) == pytest.approx(holm([0.04, 0.01, 0.03, 0.02]))
    with pytest.raises(ValueError, match="sum of at most 1"):
        holm([0.1, 0.2], [0.6, 0.6])


@given(p_values)
def test_benjamini_hochberg_equals_scipys(p: list[float]) -> None:
    assert benjamini_hochberg(p) == pytest.approx(false_discovery_control(p))


@given(p_values)
def test_adjusting_keeps_the_order_and_never_lowers_a_p_value(p: list[float]) -> None:
    for adjusted in (holm(p), benjamini_hochberg(p)):
        assert (adjusted >= np.asarray(p) - 1e-15).all() and (adjusted <= 1).all()
        order = np.argsort(p, kind="stable")
        assert (np.diff(adjusted[order]) >= 0).all()


def test_no_question_needs_no_adjusting_and_impossible_p_values_are_refused() -> None:
    assert holm([]).size == benjamini_hochberg([]).size == 0
    with pytest.raises(ValueError, match="from 0 to 1"):
        holm([0.5, 1.5])
    with pytest.raises(ValueError, match="from 0 to 1"):
        benjamini_hochberg([float("nan")])


def test_five_prompts_by_hand() -> None:
    # Deviations .5 .5 .5 .5 -.5, sum 1.5: of 32 flips 12 are as far out (5 + 1 on either side).
    assert paired_test([1, 1, 1, 1, 0]) == pytest.approx(12 / 32)


def test_ten_wins_of_ten_are_one_flip_in_512() -> None:
    assert paired_test([1.0] * 10) == pytest.approx(2 / 1024)
    assert paired_test([0.0] * 40) == pytest.approx(2.0**-39)


def test_few_prompts_of_wins_and_losses_give_the_binomial_test() -> None:
    assert paired_test([1] * 9 + [0] * 3) == pytest.approx(binomtest(9, 12).pvalue)
    drawn = paired_test([1] * 15 + [0] * 5)
    assert drawn == pytest.approx(binomtest(15, 20).pvalue, abs=0.005)  # 9,999 flips of 0.041: +- 0.002
    assert drawn == paired_test([1] * 15 + [0] * 5) != paired_test([1] * 15 + [0] * 5, seed=1)


def test_many_prompts_give_students_t() -> None:
    scores = [1.0] * 40 + [0.5] * 20 + [0.0] * 25
    assert paired_test(scores) == pytest.approx(ttest_1samp(scores, 0.5).pvalue)


@given(unit_scores)
def test_swapping_the_versions_changes_no_p_value(scores: list[float]) -> None:
    assert paired_test([1 - s for s in scores]) == pytest.approx(paired_test(scores), rel=1e-9)
    assert 0 <= paired_test(scores) <= 1


def test_all_ties_prove_nothing_and_no_scores_are_refused() -> None:
    assert paired_test([0.5] * 50) == 1.0
    with pytest.raises(ValueError, match="found none"):
        paired_test([])


def test_the_p_value_of_a_paired_test_is_uniform_at_few_prompts() -> None:
    random = np.random.default_rng(0)
    found = [paired_test(row) for row in random.random((1_000, 20))]
    assert np.mean(np.asarray(found) <= 0.05) == pytest.approx(0.05, abs=0.02)  # Monte Carlo error 0.007


def test_a_chain_says_better_worse_or_open() -> None:
    # Weights .6079, .1520, .0675. p / w = .00164, .0658, .444 with 1, .3921 and .2401 left.
    steps = chain([0.6, 0.4, 0.55], [0.001, 0.01, 0.03])
    assert [step.verdict for step in steps] == ["better", "worse", "open"]
    assert [step.p_holm for step in steps] == pytest.approx([0.00164, 0.0258, 0.1066], abs=1e-4)
    assert [step.p for step in steps] == [0.001, 0.01, 0.03]
    assert chain([], []) == []


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 0.1)), max_size=10))
def test_a_verdict_of_a_chain_is_never_taken_back_when_a_version_is_added(steps: list[tuple[float, float]]) -> None:
    before: list[str] = []
    for num in range(len(steps) + 1):
        now = [step.verdict for step in chain([rate for rate, _ in steps[:num]], [p for _, p in steps[:num]])]
        assert all(old in ("open", new) for old, new in zip(before, now, strict=False))
        before = now


def test_a_null_chain_of_ten_versions_ever_calls_somebody_better_in_at_most_one_of_twenty() -> None:
    random = np.random.default_rng(7)
    num, prompts = 4_000, 300
    ever = held = at_the_end = without = 0
    for _ in range(num):
        shares = random.beta(1.0, 1.0, size=(9, prompts))  # versions differ from prompt to prompt, not on average
        scores = (random.random((2, *shares.shape)) < shares).mean(axis=0)  # both orders
        rates = scores.mean(axis=1)
        p = [paired_test(row) for row in scores]
        grown = [{step.verdict for step in chain(rates[:m], p[:m])} for m in range(1, 10)]  # at every new version
        ever += any("better" in found for found in grown)
        at_the_end += "better" in grown[-1]
        of_equal_weights = [(holm(p[:m]) <= 0.05) & (rates[:m] > 0.5) for m in range(1, 10)]
        held += any(found.any() for found in of_equal_weights)
        without += bool(((np.asarray(p) <= 0.05) & (rates > 0.5)).any())
    shares_of_runs = [count / num for count in (ever, at_the_end, held, without)]
    print(
        "null chain, better: ever {:.3f}, at the end {:.3f}; equal weights, ever {:.3f}; uncorrected {:.3f}; "
        "Monte Carlo error 0.003".format(*shares_of_runs)
    )
    assert shares_of_runs[0] <= 0.05
    assert shares_of_runs[2] > 0.05  # why the weights are what they are
    assert shares_of_runs[3] > 0.15


def test_slices_no_further_apart_than_chance_all_get_the_overall_rate() -> None:
    found = shrunk([0.52, 0.48, 0.5], [0.1, 0.1, 0.1], [25, 25, 25], 0.5)
    assert found == pytest.approx([0.5, 0.5, 0.5])


def test_shrinkage_by_hand() -> None:
    # v = .01 each (pooled .25 / 25); Q = (.04 + .04) / .01 = 8, less 1 = 7; scale 200 - 20000 / 200 = 100: tau^2 = .07.
    found = shrunk([0.7, 0.3], [0.1, 0.1], [25, 25], 0.5)
    assert found == pytest.approx([0.5 + 0.2 * 0.07 / 0.08, 0.5 - 0.2 * 0.07 / 0.08])


def test_a_small_slice_is_drawn_further_to_the_overall_rate_than_a_large_one() -> None:
    found = shrunk([0.8, 0.8, 0.3], [0.09, 0.02, 0.02], [20, 400, 400], 0.55)
    assert 0.55 < found[0] < found[1] < 0.8
    assert shrunk([0.2, 0.2, 0.7], [0.09, 0.02, 0.02], [20, 400, 400], 0.45) == pytest.approx(1 - found)


def test_shrunk_slices_are_nearer_to_the_truth_than_raw_ones() -> None:
    random = np.random.default_rng(3)
    truth = random.normal(0.55, 0.05, size=(200, 8))
    raw = random.binomial(40, truth) / 40
    errors = np.sqrt(raw * (1 - raw) / 39)
    found = np.array([shrunk(raw[k], errors[k], [40] * 8, raw[k].mean()) for k in range(200)])
    assert np.square(found - truth).mean() < 0.7 * np.square(raw - truth).mean()


def test_no_slices_and_slices_without_spread_are_left_as_they_are() -> None:
    assert shrunk([], [], [], 0.5).size == 0
    assert shrunk([1.0, 1.0], [0.0, 0.0], [20, 20], 1.0) == pytest.approx([1.0, 1.0])
