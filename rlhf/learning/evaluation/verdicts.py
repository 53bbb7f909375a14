"""Frozen verdicts as columns, and the units that they make up."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rlhf.learning import tables
from rlhf.learning.columns import Texts, read_columns
from rlhf.learning.evaluation.units import Floats, Ints, Units, combined, numbered, units

STYLE = ("characters", "headers", "lists", "bold")
SPLITS = ("held_out", "train", "all")
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Verdicts:
    """A verdict per row, in the order of the file, n in all."""

    evaluation: Ints
    judge: Ints
    prompt: Ints
    candidate: Ints
    baseline: Ints
    held_out: Flags
    score: Floats
    replicate: Ints
    rater: Texts
    position: Texts
    category: Texts
    candidate_reward: Floats
    baseline_reward: Floats
    candidate_style: Floats  # (n, 4), columns as STYLE
    baseline_style: Floats

    def __len__(self) -> int:
        return len(self.score)

    @cached_property
    def unit(self) -> Ints:
        """(n,) the unit of each verdict: units are numbered by evaluation, judge, prompt."""
        return numbered(combined([numbered(self.evaluation), numbered(self.judge), numbered(self.prompt)]))

    @cached_property
    def _order(self) -> tuple[Ints, Ints]:
        """The verdicts sorted by unit, and where each unit begins among them; the last entry is n."""
        starts = np.r_[0, np.cumsum(np.bincount(self.unit))].astype(np.int64)
        return np.argsort(self.unit, kind="stable").astype(np.int64), starts

    def rows(self, evaluation: int, judge: int, split: str) -> Ints:
        """Indices of the verdicts behind one cell, by prompt."""
        order, starts = self._order
        group = self.units.groups.get((evaluation, judge), slice(0, 0))
        rows = order[starts[group.start] : starts[group.stop]]
        return rows if split == "all" else rows[self.held_out[rows] == (split == "held_out")]

    @cached_property
    def units(self) -> UnitTable:
        positions = np.asarray(self.position.values)[self.position.codes] if len(self) else np.zeros(0, dtype=str)
        scores = units(self.unit, self.rater.codes, positions, self.replicate, self.score)
        _, row = np.unique(self.unit, return_index=True)
        return UnitTable(scores, row, self)


class UnitTable:
    """A unit (evaluation, judge, prompt) per row, sorted by these three; U in all."""

    def __init__(self, found: Units, row: NDArray[np.intp], verdicts: Verdicts) -> None:
        """row: (U,) the first verdict of each unit."""
        self.score, self.outcome, self.num_verdicts = found.score, found.outcome, found.num_verdicts
        self.row = row
        self.evaluation = verdicts.evaluation[row]
        self.judge = verdicts.judge[row]
        self.prompt = verdicts.prompt[row]
        self.candidate = verdicts.candidate[row]
        self.baseline = verdicts.baseline[row]
        self.held_out = verdicts.held_out[row]
        self.category = Texts(verdicts.category.codes[row], verdicts.category.values)

    def __len__(self) -> int:
        return len(self.score)

    @cached_property
    def groups(self) -> dict[tuple[int, int], slice]:
        """The units of every (evaluation, judge), in this order."""
        changes = (np.diff(self.evaluation) != 0) | (np.diff(self.judge) != 0)
        bounds = [0, *(np.flatnonzero(changes) + 1).tolist(), len(self)] if len(self) else [0]
        return {
            (int(self.evaluation[start]), int(self.judge[start])): slice(start, end)
            for start, end in itertools.pairwise(bounds)
        }

    def members(self, evaluation: int, judge: int, split: str) -> Ints:
        """Indices of the units of one cell, in the order of their prompts."""
        group = self.groups.get((evaluation, judge), slice(0, 0))
        index = np.arange(group.start, group.stop, dtype=np.int64)
        return index if split == "all" else index[self.held_out[group] == (split == "held_out")]


def read(path: Path) -> Verdicts:
    """Read data/verdicts.parquet.

    Raises:
        TableError: not such a table, or a row with another split than train and held_out or a score outside [0, 1].
    """
    numbers, texts = read_columns(path, tables.VERDICTS)
    splits = np.asarray(["?", "held_out", "train"])
    known = np.asarray([list(splits).index(value) if value in splits else 0 for value in texts["split"].values] or [0])
    split = known[texts["split"].codes]
    wrong = np.flatnonzero((split == 0) | ~((numbers["score"] >= 0) & (numbers["score"] <= 1)))
    if wrong.size:
        found = {"verdict_id": int(numbers["verdict_id"][wrong[0]]), "score": float(numbers["score"][wrong[0]])}
        found_split = texts["split"].values[texts["split"].codes[wrong[0]]]
        raise tables.TableError(
            f"{path}: expected splits train and held_out and scores from 0 to 1, found {found | {'split': found_split}}"
        )
    styles = {
        side: np.stack([numbers[f"{side}_{name}"] for name in STYLE], axis=1).astype(np.float64)
        for side in ("candidate", "baseline")
    }
    return Verdicts(
        evaluation=numbers["evaluation_id"],
        judge=numbers["judge_id"],
        prompt=numbers["prompt_id"],
        candidate=numbers["candidate_id"],
        baseline=numbers["baseline_id"],
        held_out=split == 1,
        score=numbers["score"],
        replicate=numbers["replicate"],
        rater=texts["rater"],
        position=texts["position"],
        category=texts["category"],
        candidate_reward=numbers["candidate_reward"],
        baseline_reward=numbers["baseline_reward"],
        candidate_style=styles["candidate"],
        baseline_style=styles["baseline"],
    )
