"""Looking after every judgment: 20,000 runs without a difference, and runs with one."""

import math
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from scipy.special import stdtrit

from rlhf.learning.stats.sequences import (
    FEWEST_DECIDED,
    FIRST_LOOK,
    Look,
    confidence_sequence,
    look,
)

NUM_RUNS, NUM_PROMPTS, CHUNK = 20_000, 1_000, 2_000


def coins(random: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    return (random.random(size) < 0.5).astype(float)


def mostly_ties(random: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    draw = random.random(size)
    return np.where(draw < 0.1, 1.0, np.where(draw < 0.2, 0.0, 0.5))


def both_orders(random: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    shares = random.beta(1 / 3, 1 / 3, size=size)  # intra-class correlation .6
    found: np.ndarray = (random.random((2, *size)) < shares).mean(axis=0)
    return found


def probabilities(random: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    found: np.ndarray = 1 / (1 + np.exp(-2 * random.normal(size=size)))
    return found


def runs(kind) -> Iterator[np.ndarray]:
    random = np.random.default_rng(0)
    for _ in range(NUM_RUNS // CHUNK):
        yield kind(random, (CHUNK, NUM_PROMPTS))


def share(named: list[np.ndarray]) -> float:
    return float(np.concatenate(named).mean())


@pytest.mark.parametrize("kind", [coins, mostly_ties, both_orders, probabilities])
def test_of_twenty_thousand_null_runs_at_most_one_in_twenty_ever_names_a_winner(kind) -> None:
    named = []
    for scores in runs(kind):
        low, high = confidence_sequence(scores)
        named.append(((low > 0.5) | (high < 0.5)).any(axis=1))
    print(f"sequence, {kind.__name__}: {share(named):.4f} of {NUM_RUNS} named a winner; Monte Carlo error 0.0015")
    assert 0 < share(named) <= 0.05


def test_on_such_runs_fixed_intervals_do_not_keep_theirs() -> None:
    num, naive = np.arange(1, NUM_PROMPTS + 1), []
    for scores in runs(coins):
        late = num >= 30  # with fewer the fixed interval isn't t
        mean, used = np.cumsum(scores, axis=1)[:, late] / num[late], num[late]
        half = stdtrit(used - 1, 0.975) * np.sqrt(mean * (1 - mean) / (used - 1))
        naive.append((np.abs(mean - 0.5) > half).any(axis=1))
    print(f"fixed intervals: {share(naive):.4f} of {NUM_RUNS} named a winner")
    assert share(naive) > 0.30


def test_the_web_process_may_import_it_and_the_planner() -> None:
    imported = "import sys; from rlhf.learning.stats import planner, sequences; print('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", imported], capture_output=True, text=True).stdout == "False\n"


def test_swapping_the_versions_swaps_the_bounds() -> None:
    scores = np.random.default_rng(2).random(300)
    low, high = confidence_sequence(scores)
    turned_low, turned_high = confidence_sequence(1 - scores)
    assert turned_low == pytest.approx(1 - high)
    assert turned_high == pytest.approx(1 - low)


def test_the_sequence_by_hand() -> None:
    # 500 wins, 500 losses: s = 1/2; r^2 = (2 ln 20 + ln(2 ln 20) + 1) / 1000 = 0.0087819, n r^2 + 1 = 9.7819;
    # half width = sqrt(2 * 9.7819 / (1000 * 8.7819) * ln(sqrt(9.7819) * 20)) / 2.
    low, high = confidence_sequence([1.0, 0.0] * 500)
    half = math.sqrt(2 * 9.7819 / 8_781.9 * math.log(math.sqrt(9.7819) * 20)) / 2
    assert (low[-1], high[-1]) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-5)
    assert half == pytest.approx(0.048, abs=0.0005)


def test_nothing_is_said_before_the_first_look_nor_where_almost_all_are_ties() -> None:
    low, high = confidence_sequence([1.0] * 60)
    assert set(low[: FIRST_LOOK - 1]) == {0.0} and set(high[: FIRST_LOOK - 1]) == {1.0}
    assert low[FIRST_LOOK - 1] > 0.5
    low, high = confidence_sequence([0.5] * 500 + [1.0] * (FEWEST_DECIDED - 1))
    assert (low[-1], high[-1]) == (0.0, 1.0)


def test_a_look_is_the_last_of_the_sequence() -> None:
    scores = (np.random.default_rng(3).random(400) < 0.7).astype(float)
    low, high = confidence_sequence(scores)
    assert look(scores) == Look(400, float(scores.mean()), float(low[-1]), float(high[-1]), "candidate")
    assert look(1 - scores).winner == "baseline"
    assert look([1.0, 0.0]) == Look(2, 0.5, 0.0, 1.0, None)
    with pytest.raises(ValueError, match="found none"):
        look([])


def test_a_better_version_is_named_while_the_run_goes_on() -> None:
    random = np.random.default_rng(4)
    low, _ = confidence_sequence((random.random((1_000, NUM_PROMPTS)) < 0.6).astype(float))
    named = (low > 0.5).any(axis=1)
    median = float(np.median((low > 0.5)[named].argmax(axis=1) + 1))
    print(f"60 %: named in {named.mean():.3f}, after {median:.0f} prompts at the median")
    assert named.mean() > 0.97
    assert median < 350
