"""The strengths of all versions by one judge, on held-out prompts, or the reason why there is no order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rlhf.learning.configs import EstimateConfig
from rlhf.learning.evaluation.cells import Cell
from rlhf.learning.evaluation.verdicts import UnitTable
from rlhf.learning.stats import ranks
from rlhf.learning.stats.bradley_terry import gap
from rlhf.learning.stats.comparisons import tabulate

Row = dict[str, Any]


def ranking(
    table: UnitTable, judge: Row, versions: Sequence[Row], steps: Sequence[Cell], config: EstimateConfig
) -> Row:
    """One judge's ranking, and the gaps along its chain. The first version of the document has strength 0."""
    own = np.flatnonzero((table.judge == judge["id"]) & table.held_out)
    found = ranks.ranking(
        tabulate(table.prompt[own], table.candidate[own], table.baseline[own], table.score[own]),
        first=versions[0]["id"],
        names={row["id"]: row["name"] for row in versions},
        davidson=not judge["graded"],
        confidence=config.confidence,
        num_resamples=config.num_resamples,
        seed=config.seed,
    )
    gaps = []
    for cell in steps if found.fitted is not None else ():
        assert found.fitted is not None
        made = gap(found.fitted, cell.candidate, cell.baseline, config.confidence)
        sides = {"evaluation": cell.evaluation, "candidate": cell.candidate, "baseline": cell.baseline}
        gaps.append({**sides, "gap": made.gap, "low": made.low, "high": made.high})
    return {
        "judge": judge["id"],
        "state": found.state,
        "reason": found.reason,
        "tie_parameter": found.tie_parameter,
        "cycle": found.cycle,
        "num_failed": found.num_failed,
        "versions": [vars(version) for version in found.versions],
        "gaps": gaps,
    }
