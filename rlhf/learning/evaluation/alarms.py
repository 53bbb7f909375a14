"""Over-optimisation: where a training reward and a judge that nothing was trained against drift apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rlhf.learning.configs import EstimateConfig
from rlhf.learning.evaluation.cells import Cell
from rlhf.learning.evaluation.verdicts import UnitTable
from rlhf.learning.stats.over_optimisation import over_optimisation

Row = dict[str, Any]
REWARD_MODEL = "reward_model"  # kind of judge


def alarms(
    table: UnitTable,
    judges: Sequence[Row],
    chains: Mapping[int, Sequence[Cell]],
    length_ratios: Mapping[int, float | None],
    config: EstimateConfig,
) -> list[Row]:
    """Every step of the chain, by each reward model that the candidate was trained against and each independent judge.

    length_ratios: mean characters of candidate over baseline, by evaluation.
    """
    independent = [judge for judge in judges if judge["kind"] != REWARD_MODEL or not judge["trained"]]
    found = []
    for reward in judges:
        for cell in chains[reward["id"]] if reward["kind"] == REWARD_MODEL else ():
            for other in independent if cell.candidate in reward["trained"] else ():
                steps = [step.evaluation for step in chains[other["id"]]]
                if cell.evaluation not in steps:
                    continue
                step = steps.index(cell.evaluation) + 1
                made = _alarm(table, cell, reward, other, step, length_ratios.get(cell.evaluation), config)
                found += [made] if made is not None else []
    return found


def _alarm(
    table: UnitTable,
    cell: Cell,
    reward: Row,
    other: Row,
    step: int,
    length_ratio: float | None,
    config: EstimateConfig,
) -> Row | None:
    praised, judged = (table.members(cell.evaluation, judge["id"], "held_out") for judge in (reward, other))
    prompts, mine, theirs = np.intersect1d(table.prompt[praised], table.prompt[judged], return_indices=True)
    if not prompts.size:
        return None
    made = over_optimisation(
        table.score[praised[mine]],
        table.score[judged[theirs]],
        prompts,
        reward["name"],
        other["name"],
        step=step,
        length_ratio=length_ratio,
        confidence=config.confidence,
    )
    if made is None:
        return None
    return {"evaluation": cell.evaluation, "reward_judge": reward["id"], "judge": other["id"], **vars(made)}
