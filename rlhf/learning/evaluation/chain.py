"""The chain of versions: every numbered version against the one before it that it was compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rlhf.learning.evaluation.cells import Cell
from rlhf.learning.evaluation.verdicts import UnitTable
from rlhf.learning.stats import multiplicity

Row = dict[str, Any]
MOST = 200  # regressions in a document


def steps(versions: Sequence[Row], cells: Sequence[Cell], judge: int) -> list[Cell]:
    """Held-out cells of a judge, one per numbered version: against the newest numbered version before it."""
    number = {row["id"]: row["number"] for row in versions if row["number"] is not None}
    newest: dict[int, Cell] = {}
    for cell in cells:
        ours, theirs = number.get(cell.candidate), number.get(cell.baseline)
        if cell.judge != judge or cell.split != "held_out" or ours is None or theirs is None or theirs >= ours:
            continue
        if cell.candidate not in newest or theirs > number[newest[cell.candidate].baseline]:
            newest[cell.candidate] = cell
    return sorted(newest.values(), key=lambda cell: number[cell.candidate])


def verdicts(chains: Mapping[int, Sequence[Cell]], confidence: float) -> list[Row]:
    """Every step of every judge's chain in words: better, worse or open, whatever is still to come."""
    found = []
    for judge, cells in chains.items():
        named = multiplicity.chain([cell.rate.mean for cell in cells], [cell.p for cell in cells], confidence)
        for cell, step in zip(cells, named, strict=True):
            sides = {"evaluation": cell.evaluation, "candidate": cell.candidate, "baseline": cell.baseline}
            found.append({"judge": judge, **sides, **vars(step)})
    return found


def regressions(table: UnitTable, chains: Sequence[Sequence[Cell]]) -> list[Row]:
    """Prompts of which a version won and its successor loses, by one judge, held out; worst first, newest first."""
    found = [row for chain in chains for now in chain for row in _lost(table, chain, now)]
    found.sort(
        key=lambda row: (row["score_now"] - row["score_before"], -row["evaluation"], row["judge"], row["prompt"])
    )
    return found[:MOST]


def _lost(table: UnitTable, chain: Sequence[Cell], now: Cell) -> list[Row]:
    before = next((cell for cell in chain if cell.candidate == now.baseline), None)
    if before is None:
        return []
    then, there = (table.members(cell.evaluation, cell.judge, "held_out") for cell in (before, now))
    _, first, second = np.intersect1d(table.prompt[then], table.prompt[there], return_indices=True)
    pairs = zip(then[first].tolist(), there[second].tolist(), strict=True)
    return [
        {
            "prompt": int(table.prompt[new]),
            "judge": now.judge,
            "candidate": now.candidate,
            "baseline": now.baseline,
            "before": before.evaluation,
            "evaluation": now.evaluation,
            "score_before": float(table.score[old]),
            "score_now": float(table.score[new]),
        }
        for old, new in pairs
        if table.score[old] > 0.5 > table.score[new]
    ]
