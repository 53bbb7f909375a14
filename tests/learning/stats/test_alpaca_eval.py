"""AlpacaEval's figures: by hand, on its published judgments, and on a sample of its rows."""

import csv
from pathlib import Path

import numpy as np
import pytest

from benchmarks.alpaca_eval import differences, read, with_difficulty
from rlhf.learning.stats.alpaca_eval import figures
from tests.learning.stats.test_win_rates import PREFERENCES, PUBLISHED

SAMPLES = Path(__file__).parents[2] / "rlhf" / "alpaca_eval"  # see its README


def test_four_prompts_by_hand() -> None:
    ours = [[100, 0, 0, 0], [201, 1, 0, 0], [100, 0, 2, 0], [100, 0, 0, 0]]
    found = figures([2.0, 1.5, 1.2, 1.0], ours, [[50, 0, 0, 0]] * 4)
    assert (found.num_prompts, found.wins, found.draws, found.losses) == (4, 1, 1, 2)
    assert found.win_rate == pytest.approx(0.425)
    assert found.standard_error == pytest.approx(np.std([1, 0.5, 0.2, 0], ddof=1) / 2)
    assert found.mean_characters == 125.25
    assert found.controls.length_ratio == 2.505


@pytest.mark.parametrize("model", PUBLISHED)
def test_the_published_figures_come_out(model: str) -> None:
    with PREFERENCES.open() as file:
        preferences = [float(row[model]) for row in csv.DictReader(file)]
    rate, standard_error, wins, draws, _ = PUBLISHED[model]
    published = {"win_rate": rate, "standard_error": standard_error, "n_wins": wins, "n_draws": draws, "avg_length": 7}
    found = figures(preferences, [[7, 0, 0, 0]] * 805, [[9, 0, 0, 0]] * 805)
    assert differences(found, {key: str(value) for key, value in published.items()}) == pytest.approx(
        dict.fromkeys(published, 0.0), abs=1e-9
    )


def test_real_rows_have_a_controlled_rate_between_raw_and_what_equal_length_leaves() -> None:
    models = [read(path) for path in sorted(SAMPLES.glob("*.jsonl.gz"))]
    assert [len(model.instructions) for model in models] == [30, 30]
    for model, other in (models, models[::-1]):
        found = figures(model.preferences, model.candidate, model.baseline)
        assert found.controls.length_ratio is not None and found.controls.length_ratio < 1  # they are the shorter ones
        assert found.win_rate == found.controls.raw < found.controls.length.win_rate
        assert found.controls.length.low < found.controls.length.win_rate < found.controls.length.high
        assert 0 < with_difficulty(model, [other]) < 1


def test_swapping_candidate_and_baseline_mirrors_every_figure_of_real_rows() -> None:
    model = read(SAMPLES / "gpt-3.5-turbo-0301.jsonl.gz")
    one = figures(model.preferences, model.candidate, model.baseline)
    other = figures(3 - model.preferences, model.baseline, model.candidate)
    assert (other.wins, other.draws, other.losses) == (one.losses, one.draws, one.wins)
    assert other.win_rate == pytest.approx(1 - one.win_rate, abs=1e-12)
    for a, b in ((one.controls.length, other.controls.length), (one.controls.style, other.controls.style)):
        assert (b.win_rate, b.low, b.high) == pytest.approx((1 - a.win_rate, 1 - a.high, 1 - a.low), abs=1e-12)


def test_a_missing_preference_is_refused() -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        figures([1.5, float("nan")], [[1, 0, 0, 0]] * 2, [[1, 0, 0, 0]] * 2)
