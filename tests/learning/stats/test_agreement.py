"""Agreement against published and hand-worked numbers, and what must hold for any answers."""

import math
import random
import time

import numpy as np
import pytest
from scipy.stats import kendalltau

from rlhf.learning.stats.agreement import kendall_tau_b, krippendorff_alpha, order_share, percent, wilson

NONE = "*"
# Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", example C: nominal .743, ordinal .815.
FOUR_OBSERVERS = (
    "1 2 3 3 2 1 4 1 2 * * *",
    "1 2 3 3 2 2 4 1 2 5 * 3",
    "* 3 3 3 2 3 4 2 2 5 1 *",
    "1 2 3 3 2 4 4 1 2 5 1 *",
)
# Three coders, nominal .691 (Wikipedia's example, which the `krippendorff` package repeats).
THREE_CODERS = ("* * * * * 3 4 1 2 1 1 3 3 * 3", "1 * 2 1 3 3 4 3 * * * * * * *", "* * 2 1 3 4 4 * 2 1 1 3 3 * 4")


def table(raters: tuple[str, ...]) -> np.ndarray:
    columns = list(zip(*(row.split() for row in raters), strict=True))
    values = sorted({value for column in columns for value in column} - {NONE})
    return np.array([[column.count(value) for value in values] for column in columns])


@pytest.mark.parametrize(
    ("raters", "level", "expected"),
    [(FOUR_OBSERVERS, "nominal", 0.743), (FOUR_OBSERVERS, "ordinal", 0.815), (THREE_CODERS, "nominal", 0.691)],
)
def test_alpha_gives_the_published_numbers(raters, level, expected):
    counts = table(raters)
    found = krippendorff_alpha(counts, range(len(counts)), level=level)
    assert found.value == pytest.approx(expected, abs=5e-4)
    assert found.low < found.value < found.high


def test_alpha_counts_tasks_and_not_their_completions():
    counts = [[2, 0], [0, 2], [1, 1], [1, 1], [0, 1]]
    assert krippendorff_alpha(counts, [1, 1, 2, 2, 3], level="ordinal").num_tasks == 2


def test_alpha_has_no_value_where_everybody_always_says_the_same():
    found = krippendorff_alpha([[2, 0], [3, 0]], [1, 2], level="nominal")
    assert (found.value, found.low) == (None, None)


def test_alpha_of_random_answers_is_about_zero_and_its_interval_covers_zero():
    draw = np.random.default_rng(1)
    counts = draw.multinomial(2, [0.4, 0.4, 0.2], size=2_000)
    found = krippendorff_alpha(counts, range(2_000), level="nominal")
    assert abs(found.value) < 0.05 and found.low < 0 < found.high


def test_percent_of_two_pairs_of_ranks_by_hand():
    # 1 2 3 against 1 3 2: two of three pairs. 1 1 2 against 1 2 3: two of three, a tie is no order.
    found = percent([[((1, 2, 3), (1, 3, 2))], [((1, 1, 2), (1, 2, 3))]])
    assert (found.value, found.num_tasks) == (pytest.approx(4 / 6), 2)


def test_without_any_disagreement_percent_still_has_an_interval():
    found = percent([[((1, 2), (1, 2))]] * 10)
    assert found.value == 1 and (found.low, found.high) == (pytest.approx(0.722, abs=1e-3), pytest.approx(1))


def test_tau_b_is_scipys_on_ranks_with_ties():
    draw = random.Random(3)
    for _ in range(50):
        first, second = ([draw.randint(1, 4) for _ in range(6)] for _ in range(2))
        expected = kendalltau(first, second).statistic
        found = kendall_tau_b([[(first, second)]])
        assert found.value is None if math.isnan(expected) else found.value == pytest.approx(expected)


def test_nothing_in_gives_nothing_out():
    for found in (percent([]), kendall_tau_b([[]]), krippendorff_alpha(np.zeros((0, 3)), [], level="nominal")):
        assert (found.value, found.low, found.high, found.num_tasks) == (None, None, None, 0)


def test_an_order_shares_all_with_itself_nothing_with_its_reverse_and_half_with_a_tie():
    assert order_share((1, 2, 3), (1, 2, 3)) == 1
    assert order_share((1, 2, 3), (3, 2, 1)) == 0
    assert order_share((1, 2, 3), (1, 1, 1)) == 0.5
    with pytest.raises(ValueError, match="found 2 and 3"):
        order_share((1, 2), (1, 2, 3))


def test_percent_intervals_cover_the_truth_about_as_often_as_they_say():
    draw, truth, covered = np.random.default_rng(5), 0.73, 0
    for trial in range(300):
        agrees = draw.random(60) < truth
        found = percent([[((1, 2), (1, 2) if same else (2, 1))] for same in agrees], seed=trial)
        covered += found.low <= truth <= found.high
    assert 0.90 <= covered / 300 <= 0.98


def test_wilson_by_hand():
    assert wilson(0.5, 10) == (pytest.approx(0.2366, abs=1e-4), pytest.approx(0.7634, abs=1e-4))


def test_two_thousand_tasks_take_a_fraction_of_a_second():
    draw = np.random.default_rng(0)
    counts = draw.multinomial(3, np.full(9, 1 / 9), size=18_000)
    started = time.process_time()
    krippendorff_alpha(counts, np.repeat(np.arange(2_000), 9), level="ordinal")
    assert time.process_time() - started < 2
