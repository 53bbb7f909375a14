"""A machine judge against people, and people against each other: by hand."""

import math

import numpy as np
import pytest

from rlhf.learning.stats.judge_agreement import human_ceiling, judge_agreement, rater_alpha, timelines

# Rows people, columns judge: win, tie, loss.
CONFUSION = ((20, 5, 5), (2, 6, 2), (10, 0, 10))


def of_table(table: tuple[tuple[int, ...], ...]) -> tuple[list[float], list[float]]:
    judge, human = [], []
    for row, y in zip(table, (1.0, 0.5, 0.0), strict=True):
        for num, f in zip(row, (0.9, 0.5, 0.2), strict=True):
            judge += [f] * num
            human += [y] * num
    return judge, human


def test_agreement_kappa_and_confusion_by_hand() -> None:
    judge, human = of_table(CONFUSION)
    found = judge_agreement(range(60), judge, human)
    assert found.confusion == CONFUSION
    assert (found.num_units, found.agreement) == (60, pytest.approx(0.6))
    assert found.agreement_without_ties == pytest.approx(30 / 45)
    chance = (30 * 32 + 10 * 11 + 20 * 17) / 3600  # of the margins
    assert found.kappa == pytest.approx((0.6 - chance) / (1 - chance))
    assert found.low < 0.6 < found.high
    assert found.kappa_low is not None and found.kappa_high is not None
    assert found.kappa_low < found.kappa < found.kappa_high
    assert found.reliability is None


def test_swapping_candidate_and_baseline_changes_no_agreement() -> None:
    judge, human = (np.array(scores) for scores in of_table(CONFUSION))
    one, other = judge_agreement(range(60), judge, human), judge_agreement(range(60), 1 - judge, 1 - human)
    assert other.kappa == pytest.approx(one.kappa)
    assert (other.agreement, other.low, other.high) == (one.agreement, one.low, one.high)
    assert other.confusion == tuple(row[::-1] for row in one.confusion[::-1])


def test_units_of_one_prompt_count_together() -> None:
    judge, human = of_table(CONFUSION)
    apart, together = (
        judge_agreement(range(240), judge * 4, human * 4),
        judge_agreement([*range(60)] * 4, judge * 4, human * 4),
    )
    once = judge_agreement(range(60), judge, human)
    assert (together.low, together.high) == pytest.approx((once.low, once.high))
    assert apart.high - apart.low < 0.6 * (together.high - together.low)
    assert (together.kappa_low, together.kappa_high) == pytest.approx((once.kappa_low, once.kappa_high))


def test_perfect_agreement_has_kappa_one_and_one_outcome_alone_has_none() -> None:
    perfect = judge_agreement(range(4), [1, 1, 0, 0.5], [0.8, 1, 0.1, 0.5])
    assert (perfect.agreement, perfect.kappa, perfect.agreement_without_ties) == (1, 1, 1)
    alike = judge_agreement(range(4), [1, 1, 1, 1], [1, 1, 1, 1])
    assert (alike.kappa, alike.kappa_low, alike.kappa_high) == (None, None, None)
    assert judge_agreement([1, 2], [0.5, 1], [1, 0.5]).agreement_without_ties is None


def test_reliability_leaves_out_what_people_tied() -> None:
    judge = [0.8] * 10 + [0.3] * 10 + [0.6] * 5
    human = [1.0] * 8 + [0.0] * 2 + [0.0] * 5 + [1.0] * 5 + [0.5] * 5
    found = judge_agreement(range(25), judge, human, graded=True).reliability
    assert found is not None and found.num_units == 20
    assert found.brier == pytest.approx((8 * 0.04 + 2 * 0.64 + 5 * 0.09 + 5 * 0.49) / 20)
    assert sum(one.num_pairs for one in found.bins) == 20
    # Bins of two by the likelier side: five of .7, right in 5 of 10, and five of .8, right in 8 of 10.
    assert [one.confidence for one in found.bins] == pytest.approx([0.7] * 5 + [0.8] * 5)
    assert found.ece == pytest.approx((2 * 0.3 + 0.2 + 2 * 0.7 + 4 * 0.2 + 0.8) / 10)
    assert judge_agreement([1], [0.6], [0.5], graded=True).reliability is None


def test_the_ceiling_by_hand() -> None:
    # Unit 1: win, win, loss; each winner meets one win and one loss (a half each), the third meets two wins (0).
    # Unit 2: win against loss: 0 and 0. Unit 3 has one person. Five votes, one agreed.
    units, raters = [1, 1, 1, 2, 2, 3], ["ann", "bob", "cas", "ann", "bob", "ann"]
    found = human_ceiling(units, [10, 10, 10, 20, 20, 30], raters, [1, 0.8, 0, 1, 0, 1])
    assert found is not None
    assert (found.agreement, found.num_votes, found.num_units) == (pytest.approx(0.2), 5, 2)
    assert found.low < 0.2 < found.high


def test_a_person_counts_once_a_unit() -> None:
    once = human_ceiling([1, 1], [1, 1], ["ann", "bob"], [1, 1])
    often = human_ceiling([1, 1, 1, 1], [1, 1, 1, 1], ["ann", "ann", "ann", "bob"], [1, 0.5, 1, 1])
    assert often == once and once is not None and once.agreement == 1
    assert human_ceiling([1, 2], [1, 2], ["ann", "bob"], [1, 1]) is None
    assert human_ceiling([], [], [], []) is None


def test_alpha_of_four_units_by_hand() -> None:
    # Pairs ww ww ll wl: 2 of 8 values meet another; by chance 2 * 5 * 3 / (8 * 7) would.
    units, raters = [1, 1, 2, 2, 3, 3, 4, 4], ["ann", "bob"] * 4
    found = rater_alpha(units, units, raters, [1, 1, 1, 1, 0, 0, 1, 0])
    assert found.value == pytest.approx(1 - (2 / 8) / (30 / 56))
    assert found.num_tasks == 4


def test_alpha_and_ceiling_do_not_hang_on_the_order_of_rows() -> None:
    random = np.random.default_rng(0)
    units, raters = np.repeat(np.arange(50), 3), np.tile([1, 2, 3], 50)
    rows = units, units // 2, raters, random.choice([0, 0.5, 1], 150)
    order = random.permutation(150)
    shuffled = tuple(column[order] for column in rows)
    assert rater_alpha(*shuffled) == rater_alpha(*rows)
    assert human_ceiling(*shuffled) == human_ceiling(*rows)


def test_timelines_compare_signs_and_ranks() -> None:
    found = timelines([0.6, 0.55, 0.7, 0.45], [0.55, 0.48, 0.6, 0.4])
    assert (found.same, found.num) == (3, 4)
    assert found.spearman == pytest.approx(1)
    assert timelines([0.6, 0.4], [0.6, 0.4]).spearman is None
    assert timelines([0.5, 0.6, 0.7], [0.5, 0.5, 0.5]).spearman is None
    assert timelines([], []).num == 0
    with pytest.raises(ValueError, match="found 1 and 0"):
        timelines([0.5], [])


def test_the_intervals_of_agreement_and_kappa_cover(capsys: pytest.CaptureFixture[str]) -> None:
    # Two units of each of 60 prompts; judge and people have a common side, told right by 85 and 80 %: both agree in
    # .85 * .8 + .15 * .2 = 71 %, and as wins and losses are equally frequent kappa is .42. Half of the prompts are
    # judged alike in both units.
    random = np.random.default_rng(1)
    runs, covered = 500, np.zeros(2)
    for _ in range(runs):
        side, right = random.random((60, 2)) < 0.5, random.random((2, 60, 2)) < np.array([0.85, 0.8])[:, None, None]
        alike = random.random(60) < 0.5
        side[alike, 1] = side[alike, 0]
        right[:, alike, 1] = right[:, alike, 0]
        judge, human = (np.where(one, side, ~side).ravel() for one in right)
        found = judge_agreement(np.repeat(np.arange(60), 2), judge, human)
        assert found.kappa_low is not None and found.kappa_high is not None
        covered += [found.low <= 0.71 <= found.high, found.kappa_low <= 0.42 <= found.kappa_high]
    with capsys.disabled():
        error = math.sqrt(0.05 * 0.95 / runs)
        print(f"\nagreement {covered[0] / runs:.1%}, kappa {covered[1] / runs:.1%}; Monte Carlo error {error:.1%}")
    assert 0.93 <= covered[0] / runs <= 0.97
    assert 0.92 <= covered[1] / runs <= 0.97
