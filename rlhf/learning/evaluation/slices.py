"""Win rates by category of the prompt, held out; a slice of under 20 prompts says nothing and is hidden."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rlhf.learning.configs import EstimateConfig
from rlhf.learning.evaluation.cells import Cell, counts
from rlhf.learning.evaluation.units import Floats
from rlhf.learning.evaluation.verdicts import UnitTable
from rlhf.learning.stats.intervals import clustered_mean
from rlhf.learning.stats.multiplicity import benjamini_hochberg, paired_test, shrunk

Row = dict[str, Any]
FEWEST = 20  # prompts of a slice that is shown


def slices(table: UnitTable, cells: Sequence[Cell], config: EstimateConfig) -> tuple[list[Row], int]:
    """The slices of every held-out cell, by category, and how many were too small to show."""
    shown: list[Row] = []
    num_hidden = 0
    for cell in cells:
        if cell.split != "held_out":
            continue
        index = table.members(cell.evaluation, cell.judge, "held_out")
        codes = table.category.codes[index]
        parts = {table.category.values[code]: index[codes == code] for code in np.unique(codes).tolist()}
        named = {category: own for category, own in parts.items() if category}
        large = {category: own for category, own in named.items() if own.size >= FEWEST}
        num_hidden += len(named) - len(large)
        scores = {category: table.score[own] for category, own in large.items()}
        counted = [counts(np.bincount(table.outcome[own], minlength=4)) for own in large.values()]
        shown += [row | count for row, count in zip(_slices(cell, scores, config), counted, strict=True)]
    return shown, num_hidden


def _slices(cell: Cell, scores: Mapping[str, Floats], config: EstimateConfig) -> list[Row]:
    """Of one cell, with the false discovery rate held and the rates drawn to the cell's over these slices together."""
    rates = [clustered_mean(own, np.arange(own.size), config.confidence) for own in scores.values()]
    q = benjamini_hochberg([paired_test(own, config.seed) for own in scores.values()])
    drawn = shrunk(
        [rate.mean for rate in rates],
        [rate.standard_error for rate in rates],
        [rate.num_clusters for rate in rates],
        cell.rate.mean,
    )
    return [
        {
            "evaluation": cell.evaluation,
            "judge": cell.judge,
            "category": category,
            "num_prompts": rate.num_clusters,
            "win_rate": rate.mean,
            "low": rate.low,
            "high": rate.high,
            "shrunk": float(drawn[place]),
            "q": float(q[place]),
        }
        for place, (category, rate) in enumerate(zip(scores, rates, strict=True))
    ]
