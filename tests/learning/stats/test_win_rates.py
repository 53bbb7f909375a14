"""Win rates and their intervals: by hand, by property, and against published numbers on real judgments."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlhf.learning.stats.intervals import clustered_mean, wilson
from rlhf.learning.stats.units import Verdict, unsettled
from rlhf.learning.stats.win_rates import win_rate, win_rates

# 805 AlpacaEval prompts, preference 1 (baseline) to 2 (candidate), from tatsu-lab/alpaca_eval (Apache-2.0), and what
# that repository publishes as win_rate, standard_error, n_wins, n_draws and n_wins_base of the two models.
PREFERENCES = Path(__file__).parent / "alpaca_eval_preferences.csv"
PUBLISHED = {
    "claude_2": (17.188240356708075, 1.17482825615589, 131, 1, 673),
    "alpaca_7b": (2.591450540223603, 0.4870855382635108, 17, 3, 785),
}

outcomes = st.lists(st.tuples(st.integers(0, 12), st.sampled_from([0.0, 0.5, 1.0])), min_size=1, max_size=60)


@pytest.mark.parametrize("model", PUBLISHED)
def test_it_reproduces_the_published_alpaca_eval_win_rates(model: str) -> None:
    with PREFERENCES.open() as file:
        scores = [float(row[model]) - 1 for row in csv.DictReader(file)]
    rate, standard_error, wins, ties, losses = PUBLISHED[model]

    found = win_rate(range(805), scores)

    assert 100 * found.win_rate == pytest.approx(rate, abs=1e-9)
    assert 100 * found.standard_error == pytest.approx(standard_error, abs=1e-9)
    assert (found.wins, found.ties, found.losses) == (wins, ties, losses)
    assert found.low < found.win_rate < found.high


def test_a_tie_counts_as_half() -> None:
    found = win_rate([1, 2, 3, 4], [1.0, 0.5, 0.5, 0.0])
    assert (found.win_rate, found.wins, found.ties, found.losses) == (0.5, 1, 2, 1)


def test_a_prompt_counts_once_however_often_it_was_judged() -> None:
    assert win_rate([1, 1, 1, 2], [1.0, 1.0, 1.0, 0.0]).win_rate == 0.5
    assert win_rate([1, 1, 1, 2], [1.0, 1.0, 1.0, 0.0]).num_prompts == 2


def test_judging_every_prompt_again_the_same_way_narrows_nothing() -> None:
    once = win_rate(list(range(40)), [1.0, 0.0, 1.0, 1.0] * 10)
    thrice = win_rate(list(range(40)) * 3, [1.0, 0.0, 1.0, 1.0] * 30)
    assert (thrice.win_rate, thrice.standard_error) == (once.win_rate, once.standard_error)
    assert (thrice.low, thrice.high) == (once.low, once.high)
    assert thrice.num_verdicts == 3 * once.num_verdicts


@given(outcomes)
def test_swapping_candidate_and_baseline_gives_exactly_one_minus_the_rate(rows: list[tuple[int, float]]) -> None:
    prompts, scores = [p for p, _ in rows], [s for _, s in rows]
    one, other = win_rate(prompts, scores), win_rate(prompts, [1 - s for s in scores])
    assert other.win_rate == 1 - one.win_rate
    assert (other.low, other.high) == (1 - one.high, 1 - one.low)
    assert other.standard_error == one.standard_error
    assert (other.wins, other.losses) == (one.losses, one.wins)


@given(outcomes)
def test_an_interval_holds_its_rate_and_is_never_of_zero_width(rows: list[tuple[int, float]]) -> None:
    found = win_rate([p for p, _ in rows], [s for _, s in rows])
    assert 0 <= found.low <= found.win_rate <= found.high <= 1
    assert found.high - found.low > 0.2  # at most 13 prompts


def test_ten_wins_of_ten_keep_wilsons_lower_bound() -> None:
    found = win_rate(range(10), [1.0] * 10)
    assert found.win_rate == 1 and found.high == 1
    assert found.low == pytest.approx(0.72247, abs=1e-5)  # z^2 / (n + z^2) = 1 - 3.8415 / 13.8415


def test_wilsons_interval_of_55_in_100() -> None:
    assert wilson(0.55, 100) == pytest.approx((0.4524, 0.6439), abs=1e-4)


def test_many_prompts_take_the_t_interval() -> None:
    found = win_rate(range(100), [1.0] * 60 + [0.0] * 40)
    half = 1.98422 * math.sqrt(0.24 / 99)  # t quantile of 99 degrees of freedom
    assert (found.low, found.high) == pytest.approx((0.6 - half, 0.6 + half), abs=1e-5)


def test_the_clustered_error_of_two_prompts_by_hand() -> None:
    # Prompt 1: 1, 1, 0; prompt 2: 0. Mean 0.5; sums of residuals 0.5 and -0.5; SE^2 = 2 / 1 * 0.5 / 16.
    assert clustered_mean([1, 1, 0, 0], [1, 1, 1, 2]).standard_error == pytest.approx(0.25)


def test_the_interval_covers_the_truth_where_rows_of_a_prompt_move_together() -> None:
    random = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        chances = random.beta(1.1, 0.9, size=100)  # mean 0.55, intra-class correlation 1 / 3
        rows = (random.random((2, 100)) < chances).astype(float).ravel()
        found = win_rate(list(range(100)) * 2, rows.tolist())
        covered += found.low <= 0.55 <= found.high
    assert covered / 400 == pytest.approx(0.95, abs=0.03)


def test_splits_are_told_apart_and_all_takes_both() -> None:
    verdicts = [Verdict(1, 7, p, "held_out" if p < 3 else "train", float(p % 2)) for p in range(5)]
    found = win_rates(verdicts)
    assert [key[2] for key in found] == ["held_out", "train", "all"]
    assert [found[1, 7, split].num_prompts for split in ("held_out", "train", "all")] == [3, 2, 5]
    assert found[1, 7, "all"].win_rate == pytest.approx(0.4)


def test_judges_and_evaluations_are_told_apart() -> None:
    found = win_rates([Verdict(1, 7, 1, "train", 1.0), Verdict(1, 8, 1, "train", 0.0), Verdict(2, 7, 1, "train", 0.5)])
    assert {key: rate.win_rate for key, rate in found.items() if key[2] == "train"} == {
        (1, 7, "train"): 1.0,
        (1, 8, "train"): 0.0,
        (2, 7, "train"): 0.5,
    }


def test_no_verdicts_and_impossible_scores_are_refused() -> None:
    with pytest.raises(ValueError, match="found none"):
        win_rate([], [])
    with pytest.raises(ValueError, match="from 0 to 1"):
        win_rate([1], [1.5])


def test_a_prompt_is_unsettled_where_one_judge_names_another_winner_when_the_answers_change_places() -> None:
    def both_orders(prompt_id: int, first: float, second: float, rater: str = "") -> list[Verdict]:
        return [
            Verdict(1, 2, prompt_id, "held_out", score, rater, position)
            for score, position in ((first, "candidate_first"), (second, "baseline_first"))
        ]

    rows = [*both_orders(1, 1.0, 0.0), *both_orders(2, 1.0, 1.0), *both_orders(3, 0.5, 1.0), *both_orders(4, 0.9, 0.6)]
    two_people = [Verdict(1, 2, 5, "held_out", 1.0, "ann", "candidate_first")]
    two_people += [Verdict(1, 2, 5, "held_out", 0.0, "bob", "baseline_first")]
    assert unsettled([*rows, *two_people]) == {1, 3}
    assert win_rates([*rows, *two_people])[1, 2, "all"].unsettled == 2
