"""Rankings: comparison intervals, rank sets, and refusals."""

import math

import numpy as np
import pytest
from scipy.special import stdtrit

from rlhf.learning.stats.bradley_terry import Fit, Resamples, fit, gap, resample
from rlhf.learning.stats.comparisons import Table, tabulate
from rlhf.learning.stats.ranks import comparison_half_widths, quasi_variances, rank_sets, ranking


def table_of(random: np.random.Generator, strengths: list[float], num_prompts: int, noise: float = 1.0) -> Table:
    """Every pair of versions 0, 1, ... on every prompt."""
    first, second = np.triu_indices(len(strengths), k=1)
    quality = np.asarray(strengths) + noise * random.normal(size=(num_prompts, len(strengths)))
    chances = 1 / (1 + np.exp(quality[:, second] - quality[:, first]))
    scores = (random.random(chances.shape) < chances).astype(float)
    return Table(tuple(range(len(strengths))), first, second, scores, np.ones_like(scores))


def independent(strengths: list[float], errors: list[float]) -> Fit:
    return Fit(tuple(range(len(errors))), np.array(strengths), None, np.diag(np.square(errors)), 1_000)


def test_quasi_variances_of_three_versions_are_exact() -> None:
    # q1 + q2 = 3, q1 + q3 = 4, q2 + q3 = 5 gives 1, 2, 3, in whatever gauge the covariance comes.
    centred = np.eye(3) - 1 / 3
    covariance = centred @ np.diag([1.0, 2.0, 3.0]) @ centred
    assert quasi_variances(covariance) == pytest.approx([1, 2, 3], rel=1e-6)


def test_quasi_variances_of_independent_estimates_are_their_variances() -> None:
    centred = np.eye(5) - 1 / 5
    variances = [0.01, 0.04, 0.02, 0.09, 0.03]
    assert quasi_variances(centred @ np.diag(variances) @ centred) == pytest.approx(variances, rel=1e-5)


def test_two_versions_share_their_variance_and_one_has_none() -> None:
    assert quasi_variances(np.array([[0.25, -0.25], [-0.25, 0.25]])) == pytest.approx([0.5, 0.5])
    with pytest.raises(ValueError, match="two or more versions"):
        quasi_variances(np.array([[1.0]]))
    with pytest.raises(ValueError, match="above 0"):
        quasi_variances(np.zeros((3, 3)))


def test_two_versions_that_always_tie_among_others_that_vary_have_short_intervals_and_not_none() -> None:
    rows = [(p, 0, 1, 0.5) for p in range(60)]
    rows += [(p, v, 2, float(p % 3 == 0)) for p in range(60) for v in (0, 1)]
    found = ranking(tabulate(*zip(*rows, strict=True)), davidson=False, num_resamples=100)
    widths = {row.version: row.comparison_high - row.comparison_low for row in found.versions}
    assert 0 < widths[0] < 0.01 and 0 < widths[1] < 0.01 and widths[2] > 0.5


def test_quasi_variances_of_a_fit_are_within_a_few_percent_of_every_contrast() -> None:
    covariance = fit(table_of(np.random.default_rng(0), [0.8, 0.3, 0, 0, -0.4, -0.7], 200)).covariance
    q = quasi_variances(covariance)
    for i in range(6):
        for j in range(i):
            contrast = covariance[i, i] + covariance[j, j] - 2 * covariance[i, j]
            assert q[i] + q[j] == pytest.approx(contrast, rel=0.2)


def test_touching_comparison_intervals_of_equal_width_are_a_gap_at_the_edge_of_significance() -> None:
    halves = comparison_half_widths(independent([0.0, 0.0, 0.0], [0.1, 0.1, 0.1]))
    assert 2 * halves == pytest.approx(stdtrit(999, 0.975) * 0.1 * math.sqrt(2), rel=1e-6)


def test_ranks_are_sets_by_hand() -> None:
    # Errors of gaps .1 sqrt(2); the largest of the bootstrap's |t| is 2 in all but its top 5 %: apart from .283 on.
    fitted = independent([0.5, 0.3, 0.1], [0.1, 0.1, 0.1])
    away = np.zeros((1_000, 3))
    away[:, 0] = 2 * 0.1 * math.sqrt(2)
    assert rank_sets(fitted, Resamples(fitted.strengths + away, 0)) == [(1, 2), (1, 3), (2, 3)]


def test_resamples_that_could_not_be_fitted_leave_the_ranks_open() -> None:
    fitted = independent([5.0, 0.0, -5.0], [0.1, 0.1, 0.1])
    exact = np.repeat(fitted.strengths[None], 900, axis=0)
    assert rank_sets(fitted, Resamples(exact, 0)) == [(1, 1), (2, 2), (3, 3)]
    assert rank_sets(fitted, Resamples(exact, 100)) == [(1, 3), (1, 3), (1, 3)]


def test_of_equal_versions_hardly_any_ranking_separates_two_even_with_few_prompts() -> None:
    random = np.random.default_rng(1)
    num = 400
    apart = 0
    for _ in range(num):
        table = table_of(random, [0.0] * 6, 30)
        fitted = fit(table)
        apart += rank_sets(fitted, resample(table, fitted, 300)) != [(1, 6)] * 6
    print(f"null rankings that separate two versions: {apart / num:.3f}, Monte Carlo error 0.011")
    assert apart / num <= 0.065  # 7.1 % with normal quantiles


def test_rank_sets_hold_the_true_ranks() -> None:
    random = np.random.default_rng(2)
    num = 300
    held = 0
    for _ in range(num):
        table = table_of(random, [0.9, 0.5, 0.3, 0.1, -0.7], 100)
        fitted = fit(table)
        sets = rank_sets(fitted, resample(table, fitted, 300))
        held += all(low <= rank <= high for rank, (low, high) in enumerate(sets, start=1))
    assert held / num >= 0.93


def test_a_ranking_is_sorted_and_counts_from_the_first_version() -> None:
    table = table_of(np.random.default_rng(3), [0.0, 0.4, 1.5, -1.0], 300)
    found = ranking(table, num_resamples=300)
    assert (found.state, found.reason) == ("fitted", "4 versions compared on 300 prompts.")
    assert [v.version for v in found.versions] == [2, 1, 0, 3]
    assert found.fitted is not None and found.cycle is None and found.tie_parameter is None
    for row in found.versions:
        assert row.low <= row.strength <= row.high
        assert row.comparison_low < row.strength < row.comparison_high
        if row.version:
            expected = gap(found.fitted, row.version, 0)
            assert (row.strength, row.low, row.high) == (expected.gap, expected.low, expected.high)
    assert (found.versions[2].strength, found.versions[2].low, found.versions[2].high) == (0, 0, 0)
    assert (found.versions[0].rank_low, found.versions[0].rank_high) == (1, 1)
    assert (found.versions[3].rank_low, found.versions[3].rank_high) == (4, 4)


def test_another_first_version_moves_every_strength_by_the_same() -> None:
    table = table_of(np.random.default_rng(3), [0.0, 0.4, 1.5, -1.0], 300)
    one, other = ranking(table, num_resamples=100), ranking(table, first=3, num_resamples=100)
    moved = [b.strength - a.strength for a, b in zip(one.versions, other.versions, strict=True)]
    assert moved == pytest.approx([moved[0]] * 4)
    assert [(v.rank_low, v.rank_high) for v in one.versions] == [(v.rank_low, v.rank_high) for v in other.versions]
    unknown = ranking(table, first=99, num_resamples=100)
    assert unknown.versions == one.versions


def test_the_same_seed_gives_the_same_ranking() -> None:
    table = table_of(np.random.default_rng(4), [0.0, 0.3, 0.5], 60)
    assert ranking(table, num_resamples=200).versions == ranking(table, num_resamples=200).versions


def test_a_cycle_is_named_beside_its_ranking() -> None:
    outcomes = {(1, 2): 0.8, (2, 3): 0.8, (3, 1): 0.8}
    rows = [(one, other, float(k < 100 * share)) for (one, other), share in outcomes.items() for k in range(100)]
    found = ranking(tabulate(list(range(100)) * 3, *zip(*rows, strict=True)), num_resamples=200)
    assert (found.state, found.cycle) == ("fitted", [1, 2, 3])
    assert [(v.rank_low, v.rank_high) for v in found.versions] == [(1, 3)] * 3


def test_a_refusal_has_a_sentence_and_no_versions() -> None:
    prompts = range(60)
    sweep = ranking(tabulate(prompts, [2] * 60, [1] * 60, [1.0] * 60), names={2: "v2"})
    assert (sweep.state, sweep.versions, sweep.fitted) == ("sweep", [], None)
    assert sweep.reason == "The others took no point from v2, so the lead has no finite size."
    apart = ranking(tabulate(prompts, [2] * 30 + [4] * 30, [1] * 30 + [3] * 30, [1.0, 0.0] * 30))
    assert apart.state == "disconnected" and "version 1 and version 2" in apart.reason
    assert ranking(tabulate([], [], [], [])).state == "too_few"


def test_all_ties_rank_nobody() -> None:
    found = ranking(tabulate(range(30), [2] * 30, [1] * 30, [0.5] * 30), num_resamples=100)
    assert [(v.strength, v.low, v.high, v.rank_low, v.rank_high) for v in found.versions] == [(0, 0, 0, 1, 2)] * 2
