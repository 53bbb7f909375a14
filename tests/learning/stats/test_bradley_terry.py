"""Strengths of versions: by hand, by property, and against evalica."""

import math

import evalica
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlhf.learning.stats import bradley_terry
from rlhf.learning.stats.bradley_terry import Fit, NotFitted, fit, gap, resample
from rlhf.learning.stats.comparisons import Table, connection, tabulate

LN_3 = math.log(3)


def pair_of(wins: int, ties: int, losses: int) -> Table:
    """Version 5 against version 3, a prompt for each outcome."""
    scores = [1.0] * wins + [0.5] * ties + [0.0] * losses
    return tabulate(range(len(scores)), [5] * len(scores), [3] * len(scores), scores)


def simulated(
    seed: int, strengths: list[float], num_prompts: int, nu: float = 0.0, noise: float = 0.0
) -> tuple[np.ndarray, ...]:
    """Every pair of versions 10, 11, ... on every prompt, by Davidson's model with noise of each answer's quality."""
    random = np.random.default_rng(seed)
    first, second = np.triu_indices(len(strengths), k=1)
    quality = np.asarray(strengths) + noise * random.normal(size=(num_prompts, len(strengths)))
    rise = np.exp((quality[:, first] - quality[:, second]) / 2)
    total = rise + 1 / rise + nu
    draw = random.random(rise.shape)
    scores = np.where(draw < rise / total, 1.0, np.where(draw < (rise + nu) / total, 0.5, 0.0))
    prompts = np.repeat(np.arange(num_prompts), len(first))
    return prompts, np.tile(first, num_prompts) + 10, np.tile(second, num_prompts) + 10, scores.ravel()


def evalicas(rows: tuple[np.ndarray, ...], model: str) -> tuple[np.ndarray, float]:
    """Log strengths by evalica, with sum 0, and its tie parameter."""
    winners = [{1.0: evalica.Winner.X, 0.5: evalica.Winner.Draw, 0.0: evalica.Winner.Y}[score] for score in rows[3]]
    names = [str(version) for version in rows[1]], [str(version) for version in rows[2]]
    if model == "newman":
        found = evalica.newman(*names, winners, tolerance=1e-12, limit=10_000)
    else:
        found = evalica.bradley_terry(*names, winners, tolerance=1e-12, limit=10_000)
    logs = np.log(found.scores.sort_index().to_numpy())
    return logs - logs.mean(), float(found.v) if model == "newman" else 0.0


def test_three_wins_for_each_loss_are_a_gap_of_ln_3() -> None:
    found = gap(fit(pair_of(75, 0, 25)), 5, 3)
    assert found.gap == pytest.approx(LN_3)
    # Sandwich: P / (P - 1) * sum (y - p)^2 / (n p q)^2 = 100 / 99 * 18.75 / 18.75^2.
    assert found.standard_error == pytest.approx(math.sqrt(100 / 99 / 18.75))
    assert (found.low, found.high) == pytest.approx((LN_3 - 1.98422 * 0.232104, LN_3 + 1.98422 * 0.232104), abs=1e-4)


def test_two_versions_with_ties_have_davidsons_closed_form() -> None:
    # Saturated: wins : ties : losses = e^(d/2) : nu : e^(-d/2) = 40 : 40 : 20, so d = ln 2 and nu = 40 / sqrt(800).
    found = fit(pair_of(40, 40, 20))
    assert gap(found, 5, 3).gap == pytest.approx(math.log(2))
    assert found.tie_parameter == pytest.approx(math.sqrt(2))
    # The gap is ln(wins / losses): variance 1 / 40 + 1 / 20, and the sandwich agrees where the model is saturated.
    assert gap(found, 5, 3).standard_error == pytest.approx(math.sqrt(100 / 99 * 0.075))


def test_ties_counted_as_half_shrink_the_gap() -> None:
    found = fit(pair_of(40, 40, 20), davidson=False)
    assert found.tie_parameter is None
    assert gap(found, 5, 3).gap == pytest.approx(math.log(60 / 40))


def test_probabilities_stand_for_shares_of_a_win() -> None:
    table = tabulate(range(40), [5] * 40, [3] * 40, [0.7, 0.8] * 20)
    assert gap(fit(table, davidson=False), 5, 3).gap == pytest.approx(LN_3)


@pytest.mark.parametrize("model", ["bradley_terry", "newman"])
def test_it_agrees_with_evalica(model: str) -> None:
    rows = simulated(1, [0.8, 0.3, 0.0, -0.2, -0.9], 300, nu=0.7 if model == "newman" else 0.0)
    strengths, v = evalicas(rows, model)
    found = fit(tabulate(*rows))
    assert found.strengths == pytest.approx(strengths, abs=1e-4)
    if model == "newman":
        assert found.tie_parameter == pytest.approx(2 * v, abs=1e-3)  # evalica's v is nu / 2
    else:
        assert found.tie_parameter is None


def test_it_agrees_with_evalica_where_ties_count_half() -> None:
    rows = simulated(2, [0.8, 0.0, -0.8], 200, nu=1.0)
    assert fit(tabulate(*rows), davidson=False).strengths == pytest.approx(evalicas(rows, "bradley_terry")[0], abs=1e-4)


def test_it_finds_the_strengths_and_the_tie_parameter_of_a_simulation() -> None:
    truth = [0.6, 0.2, -0.1, -0.7]
    found = fit(tabulate(*simulated(3, truth, 4_000, nu=0.7)))
    assert found.tie_parameter == pytest.approx(0.7, abs=0.04)
    for i in range(4):
        for j in range(i):
            step = gap(found, 10 + i, 10 + j)
            assert abs(step.gap - (truth[i] - truth[j])) < 4 * step.standard_error


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.7]))
def test_swapping_every_pair_mirrors_nothing_and_swapping_the_scores_mirrors_everything(seed: int, nu: float) -> None:
    prompts, ones, others, scores = simulated(seed, [0.5, 0.0, -0.5], 60, nu, noise=1.0)
    found = fit(tabulate(prompts, ones, others, scores))
    turned = fit(tabulate(prompts, others, ones, 1 - scores))
    mirrored = fit(tabulate(prompts, ones, others, 1 - scores))
    assert turned.strengths == pytest.approx(found.strengths, abs=1e-9)
    assert mirrored.strengths == pytest.approx(-found.strengths, abs=1e-9)
    assert mirrored.covariance == pytest.approx(found.covariance, abs=1e-9)
    one, other = gap(found, 10, 12), gap(found, 12, 10)
    assert (other.gap, other.low, other.high) == pytest.approx((-one.gap, -one.high, -one.low))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_the_order_of_rows_and_the_names_of_prompts_change_no_number(seed: int) -> None:
    rows = simulated(seed, [0.5, 0.0, -0.5], 40, nu=0.5)
    order = np.random.default_rng(seed).permutation(len(rows[0]))
    shuffled = fit(tabulate(1_000 - rows[0][order], *(column[order] for column in rows[1:])))
    assert shuffled.strengths == pytest.approx(fit(tabulate(*rows)).strengths, abs=1e-9)
    assert shuffled.covariance == pytest.approx(fit(tabulate(*rows)).covariance, abs=1e-9)


def test_strengths_have_sum_zero_and_so_have_the_rows_of_their_covariance() -> None:
    found = fit(tabulate(*simulated(4, [0.5, 0.2, -0.7], 100, nu=0.5)))
    assert found.strengths.sum() == pytest.approx(0, abs=1e-12)
    assert found.covariance.sum(axis=1) == pytest.approx(np.zeros(3), abs=1e-12)


def test_judging_every_prompt_again_the_same_way_narrows_nothing() -> None:
    prompts, ones, others, scores = simulated(5, [0.5, 0.0, -0.5], 80)
    twice = tabulate(np.tile(prompts, 2), np.tile(ones, 2), np.tile(others, 2), np.tile(scores, 2))
    assert gap(fit(twice), 10, 12) == gap(fit(tabulate(prompts, ones, others, scores)), 10, 12)


def test_the_bootstrap_agrees_with_the_sandwich() -> None:
    table = tabulate(*simulated(6, [0.6, 0.2, 0.0, -0.8], 400, nu=0.5, noise=1.0))
    found = fit(table)
    drawn = resample(table, found, 2_000)
    gaps = drawn.strengths[:, 0] - drawn.strengths[:, 3]
    assert drawn.num_failed == 0
    assert np.std(gaps) == pytest.approx(gap(found, 10, 13).standard_error, rel=0.06)
    assert np.mean(gaps) == pytest.approx(gap(found, 10, 13).gap, abs=0.02)


def test_a_resample_is_the_fit_of_its_prompts() -> None:
    rows = simulated(7, [0.6, 0.0, -0.6], 30, nu=0.5)
    table = tabulate(*rows)
    drawn = resample(table, fit(table), 5, seed=3)
    picked = np.random.default_rng(3).integers(30, size=(5, 30))
    for strengths, prompts in zip(drawn.strengths, picked, strict=True):
        by_prompt = [column.reshape(30, 3)[prompts].ravel() for column in rows]
        again = tabulate(np.repeat(np.arange(30), 3), *by_prompt[1:])
        assert strengths == pytest.approx(fit(again).strengths, abs=1e-7)


def test_the_same_seed_gives_the_same_resamples_and_another_seed_others() -> None:
    table = tabulate(*simulated(8, [0.5, -0.5], 50))
    found = fit(table)
    assert (resample(table, found, 20).strengths == resample(table, found, 20).strengths).all()
    assert (resample(table, found, 20).strengths != resample(table, found, 20, seed=1).strengths).any()


def test_batches_of_resamples_change_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    table = tabulate(*simulated(8, [0.5, 0.0, -0.5], 50, nu=0.5))
    found = fit(table)
    whole = resample(table, found, 100)
    monkeypatch.setattr(bradley_terry, "NUMBERS_AT_ONCE", 90)
    assert resample(table, found, 100).strengths == pytest.approx(whole.strengths, abs=1e-9)


def test_resamples_that_fall_apart_are_counted_and_left_out() -> None:
    table = pair_of(38, 0, 2)  # no loss is drawn with a chance of .95^40 = 12.9 %
    drawn = resample(table, fit(table), 2_000)
    assert drawn.num_failed / 2_000 == pytest.approx(0.95**40, abs=0.03)
    assert len(drawn.strengths) == 2_000 - drawn.num_failed
    assert np.isfinite(drawn.strengths).all()


def test_a_resample_without_the_only_way_back_up_is_counted_as_failed() -> None:
    # Version 3 took its only point from 2, which lost to 1 often: 1 of 60 prompts holds the graph together.
    rows = [(1, 2, 1.0)] * 15 + [(1, 2, 0.0)] * 10 + [(2, 3, 1.0)] * 34 + [(2, 3, 0.0)]
    table = tabulate(range(60), *zip(*rows, strict=True))
    drawn = resample(table, fit(table), 2_000)
    assert drawn.num_failed / 2_000 == pytest.approx((1 - 1 / 60) ** 60, abs=0.04)  # 36.5 %
    assert np.isfinite(drawn.strengths).all()


def test_ties_count_half_where_outright_wins_do_not_connect_the_versions() -> None:
    found = fit(pair_of(30, 10, 0))
    assert found.tie_parameter is None
    assert gap(found, 5, 3).gap == pytest.approx(math.log(35 / 5))


def test_all_ties_give_no_gap() -> None:
    found = gap(fit(pair_of(0, 40, 0)), 5, 3)
    assert (found.gap, found.standard_error) == (0.0, 0.0)


def test_what_has_no_fit_is_refused_in_words() -> None:
    with pytest.raises(NotFitted, match="took no point from version 5") as refused:
        fit(pair_of(40, 0, 0))
    assert refused.value.connection.state == "sweep"


def random_table(seed: int) -> Table:
    """A few versions, some far apart, compared here and there, with few or many ties and now and then graded scores."""
    random = np.random.default_rng(seed)
    size, num, nu = int(random.integers(2, 7)), int(random.integers(50, 200)), float(random.choice([0, 0.1, 1, 10]))
    strengths = random.normal(size=size) * random.choice([0.3, 1, 3, 6])
    ones = random.integers(size, size=num)
    others = (ones + random.integers(1, size, size=num)) % size
    rise = np.exp((strengths[ones] - strengths[others]) / 2)
    total, draw = rise + 1 / rise + nu, random.random(num)
    scores = np.where(draw < rise / total, 1.0, np.where(draw < (rise + nu) / total, 0.5, 0.0))
    if random.random() < 0.3:
        scores = np.clip(scores + 0.05 * random.normal(size=num), 0, 1)
    return tabulate(random.permutation(num) // 2, ones, others, scores)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 100_000), st.booleans())
def test_wherever_the_comparisons_connect_the_fit_gives_every_version_the_points_it_took(
    seed: int, davidson: bool
) -> None:
    table = random_table(seed)
    if connection(table).state != "fitted":
        with pytest.raises(NotFitted):
            fit(table, davidson=davidson)
        return
    found = fit(table, davidson=davidson)
    gaps = found.strengths[table.first] - found.strengths[table.second]
    nu = found.tie_parameter or 0.0
    expected = (np.exp(gaps / 2) + nu / 2) / (np.exp(gaps / 2) + np.exp(-gaps / 2) + nu)
    points = table.scattered(*(table.judged.sum(axis=0) * share for share in (expected, 1 - expected)))
    assert points.sum(axis=1) == pytest.approx(table.points.sum(axis=1), abs=1e-6)
    drawn = resample(table, found, 50)
    assert len(drawn.strengths) + drawn.num_failed == 50
    assert np.abs(drawn.strengths).max(initial=0) < 30


def test_a_wide_lead_is_still_found() -> None:
    found: Fit = fit(tabulate(*simulated(11, [4.0, 0.0, -4.0], 3_000)))
    assert found.strengths == pytest.approx([4, 0, -4], abs=0.4)
