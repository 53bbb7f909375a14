"""How many prompts it takes: the table of closed forms, and power in simulation."""

import math

import numpy as np
import pytest
from scipy.special import stdtr

from rlhf.learning.stats.planner import MAX_PROMPTS, prompts_needed


def of_verdicts(rate: float, ties: float) -> tuple[float, float, int]:
    """Rate, standard error and number of 400 prompts whose unit scores are wins, ties (a share) and losses."""
    gap = rate - 0.5
    return rate, math.sqrt(((1 - ties) / 4 - gap * gap) / 400), 400


@pytest.mark.parametrize(
    ("rate", "without_ties", "a_fifth_ties", "two_fifths_ties"),
    [
        (0.52, 4904, 3923, 2941),
        (0.53, 2178, 1742, 1306),
        (0.55, 783, 626, 469),
        (0.575, 347, 277, 207),
        (0.60, 194, 155, 116),
    ],
)
def test_it_gives_the_table_of_sample_sizes(
    rate: float, without_ties: int, a_fifth_ties: int, two_fifths_ties: int
) -> None:
    found = [prompts_needed(*of_verdicts(rate, ties)) for ties in (0, 0.2, 0.4)]
    assert found == [without_ties, a_fifth_ties, two_fifths_ties]


def test_swapping_the_versions_needs_as_many() -> None:
    rate, error, num = of_verdicts(0.58, 0.3)
    assert prompts_needed(1 - rate, error, num) == prompts_needed(rate, error, num)


def test_twice_the_design_effect_needs_about_twice_the_prompts() -> None:
    once = prompts_needed(0.55, math.sqrt(0.2 / 300), 300)
    twice = prompts_needed(0.55, math.sqrt(0.4 / 300), 300)
    assert once and twice and twice / once == pytest.approx(2, abs=0.02)


def test_nothing_is_planned_where_nothing_can_be_known() -> None:
    assert prompts_needed(0.5, 0.02, 400) is None  # no gap
    assert prompts_needed(0.501, 0.025, 400) is None  # hopeless
    assert prompts_needed(1.0, 0.0, 30) is None  # no spread
    assert prompts_needed(0.7, 0.5, 1) is None  # one prompt
    largest = prompts_needed(0.5045, 0.025, 400)
    assert largest is not None and 0.9 * MAX_PROMPTS < largest <= MAX_PROMPTS
    with pytest.raises(ValueError, match="from 0 to 1"):
        prompts_needed(1.2, 0.1, 30)


@pytest.mark.parametrize(("rate", "ties"), [(0.55, 0.0), (0.6, 0.2)])
def test_the_planned_number_reaches_its_power(rate: float, ties: float) -> None:
    random = np.random.default_rng(0)
    num = prompts_needed(*of_verdicts(rate, ties))
    assert num is not None
    draw = random.random((6_000, num))
    wins = rate - ties / 2
    scores = np.where(draw < wins, 1.0, np.where(draw < wins + ties, 0.5, 0.0))
    t = (scores.mean(axis=1) - 0.5) / (scores.std(axis=1, ddof=1) / math.sqrt(num))
    power = float((2 * stdtr(num - 1, -np.abs(t)) < 0.05).mean())
    print(f"planned {num} prompts at {rate:.0%}: power {power:.3f}, Monte Carlo error {math.sqrt(0.16 / 6_000):.3f}")
    assert power == pytest.approx(0.8, abs=0.03)


def test_two_orders_of_every_prompt_are_planned_by_their_prompts() -> None:
    random = np.random.default_rng(1)

    def drawn(num_runs: int, num: int) -> np.ndarray:
        shares = random.beta(0.55 * 2 / 3, 0.45 * 2 / 3, size=(num_runs, num))  # mean .55, intra-class correlation .6
        scores: np.ndarray = (random.random((2, num_runs, num)) < shares).mean(axis=0)
        return scores

    pilot = drawn(1, 100_000)[0]
    num = prompts_needed(0.55, float(pilot.std(ddof=1)) / math.sqrt(pilot.size), pilot.size)
    assert num is not None
    scores = drawn(6_000, num)
    t = (scores.mean(axis=1) - 0.5) / (scores.std(axis=1, ddof=1) / math.sqrt(num))
    assert float((2 * stdtr(num - 1, -np.abs(t)) < 0.05).mean()) == pytest.approx(0.8, abs=0.03)
