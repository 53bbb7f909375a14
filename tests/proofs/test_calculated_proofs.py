"""Reduced sizes of the proofs that only calculate, and hand-worked numbers of what they calculate with."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks.proofs import best_of_n_kl, gao, numbers, record, report_card
from benchmarks.proofs.numbers import Number
from benchmarks.proofs.sizes import FULL, TEST
from benchmarks.proofs.units import PROOFS
from rlhf.learning.stats.expected_best import kl_upper_bound


def test_the_kl_of_the_best_of_two_of_two_by_hand() -> None:
    """The better one is chosen unless the worse one is drawn twice: 1/4 and 3/4 where the policy has a half each."""
    exact = 0.25 * math.log(0.5) + 0.75 * math.log(1.5)
    assert best_of_n_kl.exact_kl([0.5, 0.5], [0.0, 1.0], 2) == pytest.approx(exact)
    assert exact < kl_upper_bound(2) == pytest.approx(math.log(2) - 0.5)
    assert best_of_n_kl.exact_kl([0.5, 0.5], [1.0, 1.0], 2) == pytest.approx(0)  # no choice among equals


@pytest.mark.parametrize("n", [2, 8, 64])
def test_on_many_small_atoms_the_bound_is_the_kl_and_on_few_large_ones_it_is_above(n: int) -> None:
    scores = np.random.default_rng(n).normal(size=100_000)
    assert best_of_n_kl.exact_kl(np.full(100_000, 1e-5), scores, n) == pytest.approx(kl_upper_bound(n), rel=0.01)
    few = np.random.default_rng(n).dirichlet(np.ones(10))
    assert 0 < best_of_n_kl.exact_kl(few, scores[:10], n) < kl_upper_bound(n)


def test_the_bound_of_one_is_nothing_and_of_none_an_error() -> None:
    assert kl_upper_bound(1) == 0
    with pytest.raises(ValueError, match="at least 1, found 0"):
        kl_upper_bound(0)


def test_every_completion_of_a_real_policy_is_listed_once(tmp_path: Path) -> None:
    found = best_of_n_kl.compute(tmp_path, "all", TEST)
    rows = best_of_n_kl.numbers({"all": found}, TEST)
    assert len(rows) == 2 * len(best_of_n_kl.NS) and all(row.holds for row in rows)


@pytest.mark.parametrize("form", gao.FORMS)
def test_gaos_form_finds_its_own_peak_from_the_points_before_it(form: str) -> None:
    truth = gao.Curve(form, 2.0, 0.8, 1.0)
    assert truth.peak == pytest.approx(math.exp(1.5) if form == gao.FORMS[0] else 1.25)
    d = np.linspace(0.1, 0.8, 8) * truth.peak
    fitted = gao.fit(form, d, truth(d))
    assert (fitted.alpha, fitted.beta, fitted.r_squared) == (pytest.approx(2.0), pytest.approx(0.8), pytest.approx(1.0))
    past = np.linspace(0.9, 1.1, 201) * truth.peak
    assert past[truth(past).argmax()] == pytest.approx(truth.peak, rel=0.01)


def test_a_curve_that_never_falls_has_its_peak_at_infinity_and_bad_points_are_refused() -> None:
    assert gao.fit(gao.FORMS[1], [1.0, 2.0], [1.0, 2.5]).peak == math.inf
    with pytest.raises(ValueError, match="two points above 0"):
        gao.fit(gao.FORMS[0], [0.0, 1.0], [0.0, 1.0])


def test_one_odd_point_is_no_peak() -> None:
    assert gao.highest([1, 2, 3, 4, 5, 6, 7], [0, 5, 0, 3, 4, 3, 2]) == 4


def test_the_card_recovers_noise_and_flags_a_planted_bias_and_no_honest_model() -> None:
    unit = report_card.compute(Path(), "0/1", TEST)
    assert all(unit["flagged"]["biased"]) and len(unit["flagged"]["biased"]) == TEST.num_report_seeds
    assert sum(sum(unit["flagged"][name]) for name in report_card.HONEST) <= 1  # of 24
    for noise, found in unit["noise"].items():
        assert np.mean(found) == pytest.approx(float(noise), abs=report_card.MAX_NOISE_ERROR)


def test_the_shares_of_the_seeds_are_all_of_them_once() -> None:
    keys = [key.split("/") for key in PROOFS["report_card"].units(FULL)]
    seeds = [seed for part, of in keys for seed in range(int(part), FULL.num_report_seeds, int(of))]
    assert sorted(seeds) == list(range(200))


def test_results_name_the_machine_the_date_and_every_promise_that_does_not_hold(tmp_path: Path) -> None:
    some = [Number("a", 0.5, 0.4, 0.6, "above 1", False), Number("b", math.inf), Number("c", 2.0, holds=True)]
    record.write(tmp_path, "proofs", {"report_card": (PROOFS["report_card"], some, 12.3)}, TEST)
    found, page = json.loads((tmp_path / "proofs.json").read_text()), (tmp_path / "proofs.md").read_text()
    assert found["machine"]["date"] in page and found["machine"]["sizes"]["name"] == "test"
    assert [number["holds"] for number in found["proofs"]["report_card"]["numbers"]] == [False, None, True]
    assert "1 of 2 promises hold" in page and "| a | 0.5 | 0.4 to 0.6 | above 1 | **no** |" in page


def test_rates_and_means_have_intervals() -> None:
    rate, low, high = numbers.share(9, 10)
    assert (rate, low < 0.9 < high <= 1) == (0.9, True)
    middle, low, high = numbers.mean([0.0, 1.0] * 50)
    assert middle == 0.5 and high - low == pytest.approx(2 * 1.96 * 0.5025 / 10, abs=1e-3)
