"""Length and style control: exact symmetries, a judge that loves length, separable data, and coverage by simulation."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit

from rlhf.learning.stats.style_control import RIDGE, Controls, controls, fit, length_controlled

Floats = NDArray[np.float64]


def styles(random: np.random.Generator, num: int, mean: float) -> Floats:
    return np.column_stack([random.normal(mean, 200, num).clip(1).round(), random.poisson(2, (num, 3))])


def comparison(seed: int = 0, num: int = 150) -> tuple[NDArray[np.intp], Floats, Floats, Floats]:
    random = np.random.default_rng(seed)
    ours, theirs = styles(random, num, 900), styles(random, num, 700)
    scores = random.choice([0, 0.25, 0.5, 1], num)
    return np.arange(num), scores, ours, theirs


def test_swapping_the_two_gives_one_minus_every_rate_and_interval() -> None:
    for seed in range(5):
        prompts, scores, ours, theirs = comparison(seed)
        one, other = controls(prompts, scores, ours, theirs), controls(prompts, 1 - scores, theirs, ours)
        assert other.raw == 1 - one.raw
        for a, b in ((one.length, other.length), (one.style, other.style)):
            assert b.win_rate == pytest.approx(1 - a.win_rate, abs=1e-12)
            assert (b.low, b.high) == pytest.approx((1 - a.high, 1 - a.low), abs=1e-12)
        assert other.length_ratio == pytest.approx(1 / (one.length_ratio or 0))


def test_a_version_against_itself_has_exactly_a_half() -> None:
    prompts, _, ours, _ = comparison()
    found = controls(prompts, np.full(150, 0.5), ours, ours)
    assert (found.raw, found.length.win_rate, found.style.win_rate, found.length_ratio) == (0.5, 0.5, 0.5, 1.0)
    assert found.length.low < 0.5 < found.length.high


def test_a_new_version_moves_no_older_number() -> None:
    def all_of(versions: list[int]) -> dict[int, Controls]:
        return {version: controls(*comparison(version)) for version in versions}

    before, after = all_of([1, 2]), all_of([3, 1, 2])
    assert {version: after[version] for version in before} == before


def test_a_judge_that_loves_length_finds_equals_once_length_is_controlled() -> None:
    random = np.random.default_rng(0)
    ours, theirs = styles(random, 5_000, 900), styles(random, 5_000, 700)
    scale = np.std(ours[:, 0] - theirs[:, 0])
    judge = random.random((2, 5_000)) < expit(2.5 * np.tanh((ours[:, 0] - theirs[:, 0]) / scale))

    found = controls(np.tile(np.arange(5_000), 2), judge.ravel(), np.tile(ours, (2, 1)), np.tile(theirs, (2, 1)))

    assert found.raw >= 0.65
    assert found.length.win_rate == pytest.approx(0.5, abs=0.02)
    assert found.length.low < 0.5 < found.length.high
    assert found.differs


def test_a_judge_that_loves_headers_is_seen_through_by_style_and_not_by_length() -> None:
    random = np.random.default_rng(1)
    ours, theirs = styles(random, 4_000, 800), styles(random, 4_000, 800)
    ours[:, 1] += random.poisson(2, 4_000)
    total = ours[:, 1] + theirs[:, 1]
    relative = np.divide(ours[:, 1] - theirs[:, 1], total, out=np.zeros(4_000), where=total > 0)

    found = controls(np.arange(4_000), random.random(4_000) < expit(2 * relative), ours, theirs)

    assert found.length.win_rate == pytest.approx(found.raw, abs=0.01) and found.raw > 0.55
    assert found.style.win_rate == pytest.approx(0.5, abs=0.03)


def test_two_lengths_by_hand() -> None:
    # d is +100 and -100 alike, so tanh(d / s) is +-tanh 1; 8 of 10 wins where longer and 6 of 10 where shorter give
    # theta = (logit .8 + logit .6) / 2 = .89588, but for the ridge.
    scores = [1.0] * 8 + [0.0] * 2 + [1.0] * 6 + [0.0] * 4
    ours = [200.0] * 10 + [100.0] * 10
    theirs = [100.0] * 10 + [200.0] * 10
    found = length_controlled(range(2_000), scores * 100, ours * 100, theirs * 100)
    assert found.win_rate == pytest.approx(expit((math.log(4) + math.log(1.5)) / 2), abs=1e-4)


def test_separable_data_stays_finite_and_satisfies_the_ridge_equation() -> None:
    design = np.column_stack([np.ones(30), np.repeat([1.0, -1.0], 15)])
    deviations = np.repeat([0.5, -0.5], 15)
    beta = fit(design, deviations, np.ones((1, 30)), np.zeros(2))[0]
    assert beta[0] == pytest.approx(0, abs=1e-9)
    assert 30 * expit(-beta[1]) == pytest.approx(RIDGE * beta[1], rel=1e-9)


def test_a_sweep_and_a_handful_of_prompts_keep_an_interval_of_some_width() -> None:
    random = np.random.default_rng(2)
    ours, theirs = styles(random, 40, 900), styles(random, 40, 700)
    sweep = controls(range(40), np.ones(40), ours, theirs).length
    assert 0.9 < sweep.win_rate < 1 and sweep.low < 0.95 and sweep.high > 0.99
    few = controls(range(3), [1.0, 1.0, 0.0], ours[:3], theirs[:3]).length
    assert few.high - few.low > 0.5


def test_the_same_length_everywhere_controls_nothing() -> None:
    scores = [1.0] * 600 + [0.0] * 400
    found = length_controlled(range(1_000), scores, [300.0] * 1_000, [200.0] * 1_000)
    assert found.win_rate == pytest.approx(0.6, abs=1e-3)


def test_overlap_is_the_share_of_the_rarer_side() -> None:
    ours, theirs = np.zeros((10, 4)), np.zeros((10, 4))
    ours[:, 0], theirs[:, 0] = [1, 2, 3, 3, 3, 3, 3, 3, 3, 3], 2
    assert controls(range(10), [0.5] * 10, ours, theirs).overlap == 0.2  # one shorter, one as long, eight longer
    assert controls(range(10), [0.5] * 10, theirs, ours).overlap == 0.2
    assert controls(range(10), [0.5] * 10, ours, ours).overlap == 1


def test_a_prompt_counts_once_however_often_it_was_judged() -> None:
    prompts, scores, ours, theirs = comparison()
    assert controls(
        np.tile(prompts, 3), np.tile(scores, 3), np.tile(ours, (3, 1)), np.tile(theirs, (3, 1))
    ) == controls(prompts, scores, ours, theirs)


def test_the_seed_moves_the_interval_and_never_the_rate() -> None:
    one, other = (controls(*comparison(), seed=seed) for seed in (0, 1))
    assert one == controls(*comparison(), seed=0)
    assert one.length.win_rate == other.length.win_rate and one.length.low != other.length.low


def test_rows_that_make_no_sense_are_refused() -> None:
    prompts, scores, ours, theirs = comparison()
    with pytest.raises(ValueError, match="at least one"):
        controls([], [], np.zeros((0, 4)), np.zeros((0, 4)))
    with pytest.raises(ValueError, match=r"\(n, 4\) counts"):
        controls(prompts, scores, ours[:, :2], theirs[:, :2])
    with pytest.raises(ValueError, match="from 0 to 1"):
        controls(prompts, scores + 1, ours, theirs)


def test_intervals_cover_by_prompt_and_not_by_row(capsys: pytest.CaptureFixture[str]) -> None:
    # Both orders of 200 prompts whose difficulty moves both; the truth is the fit to a million prompts without noise.
    def draw(random: np.random.Generator, num: int) -> tuple[Floats, Floats]:
        lengths = random.normal(0.4, 1, num)
        return lengths, expit(0.3 + np.tanh(lengths) + random.normal(0, 3, num))

    random = np.random.default_rng(3)
    lengths, chances = draw(random, 1_000_000)
    design = np.column_stack([np.ones(len(lengths)), np.tanh(lengths / lengths.std())])
    truth = expit(fit(design, chances - 0.5, np.ones((1, len(lengths))), np.zeros(2))[0, 0])
    runs, covered = 1_000, np.zeros(2)
    for run in range(runs):
        lengths, chances = draw(random, 200)
        scores = (random.random((2, 200)) < chances).ravel()
        characters = np.tile(1_000 + 300 * lengths, 2), np.full(400, 1_000.0)
        for k, clusters in enumerate((np.tile(np.arange(200), 2), np.arange(400))):
            found = length_controlled(clusters, scores, *characters, seed=run)
            covered[k] += found.low <= truth <= found.high
    by_prompt, by_row = covered / runs
    error = math.sqrt(0.05 * 0.95 / runs)
    with capsys.disabled():
        print(f"\nlength-controlled: {by_prompt:.1%} by prompt, {by_row:.1%} by row; Monte Carlo error {error:.1%}")
    assert 0.93 <= by_prompt <= 0.97
    assert by_row < 0.92
