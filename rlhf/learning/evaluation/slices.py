"""Win rates by category of the prompt, held out; a slice of under 20 prompts says nothing and is hidden."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rlhf.learning.evaluation.cells import Cell
from rlhf.learning.evaluation.verdicts import UnitTable
from rlhf.learning.stats.intervals import clustered_mean

Row = dict[str, Any]
FEWEST = 20  # prompts of a slice that is shown


def slices(table: UnitTable, cells: Sequence[Cell], confidence: float) -> tuple[list[Row], int]:
    """The slices of every held-out cell, by category, and how many were too small to show."""
    shown: list[Row] = []
    num_hidden = 0
    for cell in cells:
        if cell.split != "held_out":
            continue
        index = table.members(cell.evaluation, cell.judge, "held_out")
        codes = table.category.codes[index]
        for code in np.unique(codes).tolist():
            category, own = table.category.values[code], index[codes == code]
            if category and own.size < FEWEST:
                num_hidden += 1
            elif category:
                shown.append(_slice(table, cell, category, own, confidence))
    return shown, num_hidden


def _slice(table: UnitTable, cell: Cell, category: str, index: np.ndarray[Any, Any], confidence: float) -> Row:
    rate = clustered_mean(table.score[index], table.prompt[index], confidence)
    return {
        "evaluation": cell.evaluation,
        "judge": cell.judge,
        "category": category,
        "num_prompts": rate.num_clusters,
        "win_rate": rate.mean,
        "low": rate.low,
        "high": rate.high,
        "shrunk": None,
        "q": None,
    }
