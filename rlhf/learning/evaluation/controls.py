"""Raw, length-controlled and style-controlled win rates, side by side: how much of a gain is length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rlhf.learning.configs import EstimateConfig
from rlhf.learning.evaluation.cells import Cell
from rlhf.learning.evaluation.verdicts import Verdicts
from rlhf.learning.stats import style_control

Row = dict[str, Any]
A_WHILE = 25  # cells


def controls(
    verdicts: Verdicts, cells: Sequence[Cell], config: EstimateConfig, on_piece: Callable[[str], None]
) -> list[Row]:
    """A row per held-out cell; none for answers that were not measured when they were frozen.

    By far the longest piece: hundreds of fits for each cell.
    """
    found = []
    for place, cell in enumerate(cells):
        if place % A_WHILE == 0:
            on_piece("controls")
        rows = verdicts.rows(cell.evaluation, cell.judge, "held_out")
        ours, theirs = verdicts.candidate_style[rows], verdicts.baseline_style[rows]
        if cell.split != "held_out" or not (ours.any() or theirs.any()):
            continue
        made = style_control.controls(
            verdicts.prompt[rows],
            verdicts.score[rows],
            ours,
            theirs,
            confidence=config.confidence,
            seed=config.seed,
        )
        found.append(
            {
                "evaluation": cell.evaluation,
                "judge": cell.judge,
                "raw": made.raw,
                "length": vars(made.length),
                "style": vars(made.style),
                "length_ratio": made.length_ratio,
                "differs": made.differs,
                "overlap": made.overlap,
            }
        )
    return found
