"""Win rates of every evaluation, judge and split: the rows of an estimate run, and the cells of its document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rlhf.learning.configs import EstimateConfig
from rlhf.learning.evaluation.units import LOSS, TIE, UNSETTLED, WIN, Ints
from rlhf.learning.evaluation.verdicts import SPLITS, Verdicts
from rlhf.learning.stats.intervals import Estimate, clustered_mean
from rlhf.learning.stats.multiplicity import paired_test
from rlhf.learning.stats.planner import prompts_needed

Row = dict[str, Any]


@dataclass(frozen=True)
class Cell:
    """One judge on one evaluation and split."""

    evaluation: int
    candidate: int
    baseline: int
    judge: int
    split: str
    rate: Estimate  # over prompts
    p: float  # two-sided, against one half
    outcomes: Ints  # (4,) prompts by unit outcome
    verdicts: Ints  # (3,) verdicts won, tied, lost


def cells(verdicts: Verdicts, config: EstimateConfig) -> list[Cell]:
    """Every cell that has a verdict, by evaluation, judge and split ("all" takes both splits together)."""
    table = verdicts.units
    sides = np.stack([verdicts.score > 0.5, verdicts.score == 0.5, verdicts.score < 0.5])
    of_unit = np.stack([np.bincount(verdicts.unit, weights=side, minlength=len(table)) for side in sides], axis=1)
    found = []
    for evaluation, judge in table.groups:
        for split in SPLITS:
            index = table.members(evaluation, judge, split)
            if not index.size:
                continue
            rate = clustered_mean(table.score[index], table.prompt[index], config.confidence)
            found.append(
                Cell(
                    evaluation=evaluation,
                    candidate=int(table.candidate[index[0]]),
                    baseline=int(table.baseline[index[0]]),
                    judge=judge,
                    split=split,
                    rate=rate,
                    p=paired_test(table.score[index], config.seed),
                    outcomes=np.bincount(table.outcome[index], minlength=4),
                    verdicts=of_unit[index].sum(axis=0).astype(np.int64),
                )
            )
    return found


def estimate_row(cell: Cell) -> Row:
    """The cell in the shape of rows.parquet, where wins, ties and losses count verdicts."""
    wins, ties, losses = (int(count) for count in cell.verdicts)
    return {
        "evaluation_id": cell.evaluation,
        "judge_id": cell.judge,
        "split": cell.split,
        "num_prompts": cell.rate.num_clusters,
        "num_verdicts": wins + ties + losses,
        "wins": wins,
        "ties": ties,
        "losses": losses,
        "unsettled": int(cell.outcomes[UNSETTLED]),
        "win_rate": cell.rate.mean,
        "standard_error": cell.rate.standard_error,
        "low": cell.rate.low,
        "high": cell.rate.high,
    }


def counts(outcomes: Ints) -> Row:
    """Prompts by unit outcome. outcomes: (4,)"""
    names = (("wins", WIN), ("ties", TIE), ("losses", LOSS), ("unsettled", UNSETTLED))
    return {name: int(outcomes[outcome]) for name, outcome in names}


def document_row(cell: Cell, confidence: float) -> Row:
    """The cell in the shape of document.json, where all four outcomes count prompts."""
    return {
        "evaluation": cell.evaluation,
        "candidate": cell.candidate,
        "baseline": cell.baseline,
        "judge": cell.judge,
        "split": cell.split,
        "num_prompts": cell.rate.num_clusters,
        "num_verdicts": int(cell.verdicts.sum()),
        **counts(cell.outcomes),
        "win_rate": cell.rate.mean,
        "standard_error": cell.rate.standard_error,
        "low": cell.rate.low,
        "high": cell.rate.high,
        "p": cell.p,
        "needed": prompts_needed(
            cell.rate.mean, cell.rate.standard_error, cell.rate.num_clusters, confidence=confidence
        ),
    }
