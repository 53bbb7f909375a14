"""PPI++: closed form by hand, and a judge that leans, put right by a hundred people's labels."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from rlhf.learning.stats.calibrated import calibrated
from rlhf.learning.stats.intervals import clustered_mean

Floats = NDArray[np.float64]
NAN = math.nan


def test_eight_units_by_hand() -> None:
    # People said 1 1 0 0 where the judge said 1 0 0 0; alone the judge said 1 1 1 0.
    judge, human = [1, 0, 0, 0, 1, 1, 1, 0], [1, 1, 0, 0, NAN, NAN, NAN, NAN]
    found = calibrated(judge, human)
    assert found is not None
    # cov(y, f) = 1/6 where people judged, var f = 2/7 over all eight, n = N = 4: lambda = (1/6) / (2 * 2/7).
    assert found.weight == pytest.approx(7 / 24)
    assert found.win_rate == pytest.approx(1 / 2 + 7 / 24 * (3 / 4 - 1 / 4))
    # y - lambda f = 17/24, 1, 0, 0; var f = 1/4 where the judge is alone.
    residuals = np.array([17 / 24, 1, 0, 0])
    assert found.standard_error**2 == pytest.approx((7 / 24) ** 2 * 0.25 / 4 + residuals.var(ddof=1) / 4)
    assert (found.judge_win_rate, found.human_win_rate, found.num_human, found.num_judged) == (0.5, 0.5, 4, 8)


def test_the_authors_package_says_the_same() -> None:
    """ppi-python 0.2.3: ppi_mean_pointestimate and ppi_mean_ci, lam=None. Its variances are over n, ours over n - 1."""
    unit = np.arange(2_000)
    human = (7 * unit % 11 < 6).astype(float)
    judge = np.where(unit % 13 == 0, 1, np.where(unit % 5 == 0, 1 - human, human))
    found = calibrated(judge, np.where(unit < 500, human, NAN))
    assert found is not None
    assert found.win_rate == pytest.approx(0.5445617294731151, abs=2e-6)
    assert found.standard_error * math.sqrt(499 / 500) == pytest.approx(0.01948337624122082, rel=1e-4)


def test_swapping_the_two_gives_one_minus_the_rate() -> None:
    judge, human = scores(np.random.default_rng(0), np.full(300, 0.6))
    human[40:] = NAN
    one, other = calibrated(judge, human), calibrated(1 - judge, 1 - human)
    assert one is not None and other is not None
    assert other.win_rate == pytest.approx(1 - one.win_rate, abs=1e-12)
    assert (other.low, other.high) == pytest.approx((1 - one.high, 1 - one.low), abs=1e-12)
    assert other.weight == pytest.approx(one.weight)


def test_a_judge_that_says_nothing_or_the_contrary_leaves_the_people_alone() -> None:
    random = np.random.default_rng(1)
    human = np.where(np.arange(400) < 80, (random.random(400) < 0.6).astype(float), NAN)
    alone = clustered_mean(human[:80], range(80))
    for judge in (np.full(400, 0.7), np.where(np.isnan(human), 0.5, 1 - human)):
        found = calibrated(judge, human)
        assert found is not None and found.weight == 0
        assert (found.win_rate, found.low, found.high) == pytest.approx((alone.mean, alone.low, alone.high))


def test_where_people_judged_everything_the_judge_adds_nothing() -> None:
    human = np.array([1.0, 0.0, 1.0, 1.0] * 20)
    found = calibrated(human, human)
    assert found is not None and (found.weight, found.win_rate) == (0, 0.75)


def test_a_perfect_judge_is_believed() -> None:
    truth = (np.random.default_rng(2).random(2_000) < 0.6).astype(float)
    human = np.where(np.arange(2_000) < 100, truth, NAN)
    found = calibrated(truth, human)
    assert found is not None and found.weight > 0.9
    assert found.high - found.low < 0.3 * (clustered_mean(human[:100], range(100)).high - found.human_win_rate) * 2


def test_units_of_a_cluster_that_people_judged_in_part_are_not_taken_as_unlabelled() -> None:
    judge, human = [1, 1, 0, 1, 1, 1, 1, 0], [1, NAN, 0, NAN, NAN, NAN, NAN, NAN]
    found = calibrated(judge, human, [1, 1, 2, 2, 3, 3, 4, 4])
    assert found is not None and found.weight > 0
    assert found.win_rate == pytest.approx(1 / 2 + found.weight * (3 / 4 - 1 / 2))  # alone are the last four units
    assert (found.num_human, found.num_judged) == (2, 8)


def test_copies_of_every_unit_in_its_cluster_narrow_nothing() -> None:
    judge, human = scores(np.random.default_rng(3), np.full(200, 0.5))
    human[50:] = NAN
    once = calibrated(judge, human)
    thrice = calibrated(np.tile(judge, 3), np.tile(human, 3), np.tile(np.arange(200), 3))
    assert once is not None and thrice is not None
    assert (thrice.win_rate, thrice.low, thrice.high, thrice.weight) == pytest.approx(
        (once.win_rate, once.low, once.high, once.weight)
    )


def test_fewer_than_two_judged_by_people_give_none_and_nonsense_is_refused() -> None:
    assert calibrated([1.0, 0.0, 1.0], [1.0, NAN, NAN]) is None
    assert calibrated([], []) is None
    with pytest.raises(ValueError, match="as many scores"):
        calibrated([1.0, 0.0], [1.0])
    with pytest.raises(ValueError, match="from 0 to 1"):
        calibrated([1.0, 2.0], [1.0, NAN])


def scores(random: np.random.Generator, chances: Floats) -> tuple[Floats, Floats]:
    """(judge, people): 80 % accurate, but a fifth of its units go to the candidate whatever the answers."""
    human = (random.random(chances.size) < chances).astype(float)
    judge = np.where(random.random(chances.size) < 0.8, human, 1 - human)
    return np.where(random.random(chances.size) < 0.2, 1.0, judge), human


@pytest.mark.parametrize("per_prompt", [1, 2])
def test_a_leaning_judge_is_put_right_and_alone_is_wrong(per_prompt: int, capsys: pytest.CaptureFixture[str]) -> None:
    # 1,000 units, 100 human labels, by whole prompts; two units of a prompt share its chance, Beta with mean .55.
    random = np.random.default_rng(4)
    runs, num_prompts = 2_000, 1_000 // per_prompt
    covered, widths = np.zeros(3), np.zeros(2)
    clusters = np.repeat(np.arange(num_prompts), per_prompt)
    asked = clusters < 100 // per_prompt
    for _ in range(runs):
        judge, human = scores(random, np.repeat(random.beta(1.1, 0.9, num_prompts), per_prompt))
        alone, people = clustered_mean(judge, clusters), clustered_mean(human[asked], clusters[asked])
        both = calibrated(judge, np.where(asked, human, NAN), clusters)
        assert both is not None
        covered += [found.low <= 0.55 <= found.high for found in (alone, people, both)]
        widths += [people.high - people.low, both.high - both.low]
    shares, (wide, narrow) = covered / runs, widths / runs
    with capsys.disabled():
        print(
            f"\n{per_prompt} a prompt: judge {shares[0]:.1%}, people {shares[1]:.1%}, calibrated {shares[2]:.1%}; "
            f"widths {wide:.3f} and {narrow:.3f}; Monte Carlo error {math.sqrt(0.05 * 0.95 / runs):.1%}"
        )
    assert shares[0] < 0.05
    assert shares[2] >= 0.93
    assert narrow <= wide
