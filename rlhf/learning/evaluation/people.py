"""Machine judges beside people on the same held-out prompts: agreement, its ceiling, and rates that people correct."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlhf.learning.configs import EstimateConfig
from rlhf.learning.evaluation.cells import Cell
from rlhf.learning.evaluation.units import Floats, Ints
from rlhf.learning.evaluation.verdicts import UnitTable, Verdicts
from rlhf.learning.stats.calibrated import calibrated
from rlhf.learning.stats.judge_agreement import (
    JudgeAgreement,
    Timelines,
    human_ceiling,
    judge_agreement,
    rater_alpha,
    timelines,
)

Row = dict[str, Any]
PEOPLE = "people"  # kind of judge


@dataclass(frozen=True)
class Both:
    """The units of one evaluation that a judge judged, with people's score of the same prompt or nan."""

    prompt: Ints
    judge: Floats
    human: Floats


def both(table: UnitTable, evaluation: int, judge: int, people: int) -> Both:
    """Held out, by prompt."""
    index, theirs = (table.members(evaluation, pk, "held_out") for pk in (judge, people))
    human = np.full(index.size, np.nan)
    _, mine, own = np.intersect1d(table.prompt[index], table.prompt[theirs], return_indices=True)
    human[mine] = table.score[theirs[own]]
    return Both(table.prompt[index], table.score[index], human)


def people_of(judges: Sequence[Row]) -> int | None:
    """A project's people are one judge; None where nobody has judged."""
    return next((judge["id"] for judge in judges if judge["kind"] == PEOPLE), None)


def agreement(
    verdicts: Verdicts, judges: Sequence[Row], chains: dict[int, list[Cell]], config: EstimateConfig
) -> list[Row]:
    """A row per machine judge that judged what people did."""
    people = people_of(judges)
    if people is None:
        return []
    found = []
    evaluations = sorted({evaluation for evaluation, _ in verdicts.units.groups})
    for judge in judges:
        parts = [both(verdicts.units, pk, judge["id"], people) for pk in evaluations if judge["id"] != people]
        known = [~np.isnan(part.human) for part in parts]
        if not any(mask.any() for mask in known):
            continue
        made = judge_agreement(
            np.concatenate([part.prompt[mask] for part, mask in zip(parts, known, strict=True)]),
            np.concatenate([part.judge[mask] for part, mask in zip(parts, known, strict=True)]),
            np.concatenate([part.human[mask] for part, mask in zip(parts, known, strict=True)]),
            graded=judge["graded"],
            confidence=config.confidence,
            seed=config.seed,
        )
        found.append(_agreement_row(judge["id"], made, _timelines(chains[judge["id"]], chains[people])))
    return found


def _timelines(machine: Sequence[Cell], people: Sequence[Cell]) -> Timelines:
    rates = {cell.evaluation: cell.rate.mean for cell in people}
    shared = [cell for cell in machine if cell.evaluation in rates]
    return timelines([cell.rate.mean for cell in shared], [rates[cell.evaluation] for cell in shared])


def _agreement_row(judge: int, made: JudgeAgreement, steps: Timelines) -> Row:
    graded = made.reliability
    bins = None
    if graded is not None:
        bins = [
            {"low": one.low, "high": one.high, "mean": one.confidence, "rate": one.accuracy, "num": one.num_pairs}
            for one in graded.bins
        ]
    return {
        "judge": judge,
        "num_pairs": made.num_units,
        "agreement": made.agreement,
        "agreement_without_ties": made.agreement_without_ties,
        "kappa": made.kappa,
        "kappa_low": made.kappa_low,
        "kappa_high": made.kappa_high,
        "confusion": made.confusion,
        "low": made.low,
        "high": made.high,
        "bins": bins,
        "ece": None if graded is None else graded.ece,
        "brier": None if graded is None else graded.brier,
        "signs": {"same": steps.same, "num": steps.num},
        "spearman": steps.spearman,
    }


def ceiling(verdicts: Verdicts, judges: Sequence[Row], config: EstimateConfig) -> tuple[Row | None, Row | None]:
    """How often one person agrees with the others, and Krippendorff's alpha; None where no two judged the same."""
    rows = np.flatnonzero((verdicts.judge == people_of(judges)) & verdicts.held_out)
    if not rows.size:
        return None, None
    votes = (verdicts.unit[rows], verdicts.prompt[rows], verdicts.rater.codes[rows], verdicts.score[rows])
    best, alpha = human_ceiling(*votes, confidence=config.confidence), rater_alpha(*votes, seed=config.seed)
    agreed = None
    if best is not None:
        agreed = {"agreement": best.agreement, "low": best.low, "high": best.high, "num_pairs": best.num_units}
    if alpha.value is None:
        return agreed, None
    return agreed, {"alpha": alpha.value, "low": alpha.low, "high": alpha.high, "num_units": alpha.num_tasks}


def calibrated_rates(table: UnitTable, judges: Sequence[Row], config: EstimateConfig) -> list[Row]:
    """PPI++ of every machine judge on every evaluation in which people judged some of the same prompts."""
    people = people_of(judges)
    found = []
    for evaluation, judge in table.groups if people is not None else ():
        if judge == people:
            continue
        assert people is not None
        units = both(table, evaluation, judge, people)
        made = calibrated(units.judge, units.human, units.prompt, config.confidence) if units.judge.size else None
        if made is not None:
            found.append({"evaluation": evaluation, "judge": judge, **vars(made)})
    return found
