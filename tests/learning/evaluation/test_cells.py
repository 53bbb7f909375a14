"""Win rates from columns: every number is a sum over verdicts that a reader can do by hand."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlhf.learning.evaluation.units import OUTCOMES, UNSETTLED, units
from rlhf.learning.stats.units import Verdict
from rlhf.learning.stats.units import unit_scores as row_by_row
from rlhf.learning.stats.win_rates import win_rates
from tests.learning.evaluation.rows import both_orders, document, estimates, verdict

FIELDS = ("evaluation_id", "judge_id", "prompt_id", "split", "score", "rater", "position", "replicate")
SCORES = st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.7, 1.0])


def test_a_cell_counts_prompts_by_outcome_and_its_rate_is_the_mean_of_their_scores(tmp_path: Path) -> None:
    rows = [
        *both_orders(1, 7, 1, 1.0, 1.0),  # a win
        *both_orders(1, 7, 2, 1.0, 0.0),  # whoever came first: unsettled, half a win
        *both_orders(1, 7, 3, 0.0, 0.0),
        *both_orders(1, 7, 4, 0.5, 0.5),
        *both_orders(1, 7, 5, 1.0, 1.0, split="train"),
    ]
    cells = {cell["split"]: cell for cell in document(tmp_path, rows)["cells"]}

    assert list(cells) == ["held_out", "train", "all"]
    outcomes = [[cells[split][name] for name in ("wins", "ties", "losses", "unsettled")] for split in cells]
    assert outcomes == [[1, 1, 1, 1], [1, 0, 0, 0], [2, 1, 1, 1]]
    assert [cell["win_rate"] for cell in cells.values()] == pytest.approx([(1 + 0.5 + 0 + 0.5) / 4, 1.0, 3 / 5])
    assert [cell["num_prompts"] for cell in cells.values()] == [4, 1, 5]
    assert [cell["num_verdicts"] for cell in cells.values()] == [8, 2, 10]
    assert (cells["all"]["candidate"], cells["all"]["baseline"]) == (11, 10)
    # rows.parquet counts the verdicts themselves.
    row = {row["split"]: row for row in estimates(tmp_path)}["all"]
    assert [row[name] for name in ("wins", "ties", "losses", "unsettled")] == [5, 2, 3, 1]


@given(st.data())
@settings(max_examples=30)
def test_columns_and_rows_come_to_the_same_numbers_to_the_bit(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("estimate")
    rows = [
        verdict(
            data.draw(st.sampled_from([1, 2])), data.draw(st.sampled_from([7, 8])), data.draw(st.integers(1, 5)),
            data.draw(SCORES), rater=data.draw(st.sampled_from(["", "ann", "bea"])),
            position=data.draw(st.sampled_from(["none", "candidate_first", "baseline_first"])),
            replicate=data.draw(st.integers(0, 1)), split=data.draw(st.sampled_from(["train", "held_out"])),
        )
        for _ in range(data.draw(st.integers(1, 30)))
    ]  # fmt: skip
    for row in rows:  # a prompt has one split
        row["split"] = next(other["split"] for other in rows if other["prompt_id"] == row["prompt_id"])
    document(folder, rows)

    expected = win_rates(Verdict(**{name: row[name] for name in FIELDS}) for row in rows)
    found = estimates(folder)
    assert [(row["evaluation_id"], row["judge_id"], row["split"]) for row in found] == list(expected)
    for row, rate in zip(found, expected.values(), strict=True):
        assert {name: row[name] for name in dataclasses.asdict(rate)} == dataclasses.asdict(rate)


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 1)), min_size=1, max_size=40))
def test_a_unit_score_is_that_of_the_lists_and_swapping_sides_is_exact(verdicts: list[tuple[int, float]]) -> None:
    group = np.unique([one for one, _ in verdicts], return_inverse=True)[1].astype(np.int64)
    scores = np.array([score for _, score in verdicts])
    nobody = np.zeros(len(scores), dtype=np.int64)
    position = np.full(len(scores), "none")

    found = units(group, nobody, position, nobody, scores)
    swapped = units(group, nobody, position, nobody, 1 - scores)
    exact = row_by_row(group.tolist(), scores.tolist())
    assert found.score.tolist() == [exact[unit] for unit in range(len(found.score))]
    if (1 - (1 - scores) == scores).all():
        assert (swapped.score == 1 - found.score).all()


def test_only_one_person_in_both_orders_can_leave_a_prompt_unsettled() -> None:
    zero = np.zeros(2, dtype=np.int64)
    orders, scores = np.array(["candidate_first", "baseline_first"]), np.array([1.0, 0.0])
    assert units(zero, np.array(["ann", "ann"]), orders, zero, scores).outcome.tolist() == [UNSETTLED]
    assert units(zero, np.array(["ann", "bea"]), orders, zero, scores).outcome.tolist() == [OUTCOMES.index("tie")]


def test_p_and_the_prompts_needed_are_those_of_the_unit_scores(tmp_path: Path) -> None:
    [cell, _] = document(tmp_path, [verdict(1, 7, prompt, float(prompt < 27)) for prompt in range(40)])["cells"]
    # By hand: t = (27/40 - .5) / sqrt(.675 * .325 / 39) = 2.333 with 39 degrees of freedom.
    assert cell["p"] == pytest.approx(0.0249, abs=1e-4)
    # (1.96 sqrt(.225 + .175^2) + .8416 sqrt(.225))^2 / .175^2 with .225 = .675 * .325 * 40 / 39: 63.8
    assert cell["needed"] == 64
