"""The closing tables: versions and win rates, reward models beside their ceiling, and the time that each stage took."""

from __future__ import annotations

from rich.console import RenderableType
from rich.table import Table

from rlhf import evaluations
from rlhf.models import Estimate, Judge, Project, Split
from workers.demo.audit import RewardModelReport
from workers.demo.stages import Stage
from workers.demo.view import duration

JUDGES = {Judge.Kind.GOLD: "gold", Judge.Kind.PEOPLE: "people", Judge.Kind.REWARD_MODEL: "reward model"}


def versions(*, project: Project) -> RenderableType:
    """Win rates on held-out prompts, by judge, straight from the estimates in the database."""
    table = Table(title="Versions and win rates (held-out prompts, ties as half, 95 % intervals clustered by prompt)")
    table.add_column("candidate")
    table.add_column("against")
    for name in JUDGES.values():
        table.add_column(name, justify="right")
    table.add_column("decision")
    pairs = project.evaluations.select_related("candidate", "baseline").order_by("id")
    decisions = {
        (promotion.candidate_id, promotion.baseline_id): "promoted" if promotion.promoted else "not promoted"
        for promotion in project.promotions.all()
    }
    for evaluation in pairs:
        latest = {
            estimate.judge.kind: estimate
            for estimate in evaluations.latest_estimates(evaluation=evaluation)
            if estimate.split == Split.HELD_OUT
        }
        decision = decisions.get((evaluation.candidate_id, evaluation.baseline_id), "")
        table.add_row(
            evaluation.candidate.name,
            evaluation.baseline.name,
            *(_rate(latest.get(kind)) for kind in JUDGES),
            decision,
        )
    return table


def reward_models(*, reports: list[RewardModelReport]) -> RenderableType:
    table = Table(title="Reward models (held out, 95 % intervals clustered by prompt)")
    columns = ("reward model", "agrees with gold", "prompts", "on noisy labels", "ceiling of those labels")
    for column in columns:
        table.add_column(column, justify="left" if column == columns[0] else "right")
    for report in reports:
        gold, labels, ceiling = report.gold, report.labels, report.ceiling
        table.add_row(
            report.version,
            _interval(gold.mean, gold.low, gold.high),
            f"{gold.num_clusters:,}",
            _interval(labels["accuracy"], labels["accuracy_low"], labels["accuracy_high"]),
            _interval(ceiling.mean, ceiling.low, ceiling.high),
        )
    return table


def budget(*, stages: list[Stage], total_s: float) -> RenderableType:
    """Time by stage. Stages overlap (people label while a GPU samples), so the sum may pass the total."""
    table = Table(title="Time by stage")
    table.add_column("stage")
    table.add_column("time", justify="right")
    table.add_column("done", justify="right")
    for stage in stages:
        table.add_row(stage.title, duration(stage.busy_s), f"{stage.done:,.0f} {stage.unit}s" if stage.unit else "")
    table.add_section()
    table.add_row("from start to table", duration(total_s), "")
    return table


def _rate(estimate: Estimate | None) -> str:
    if estimate is None:
        return "-"
    return f"{_interval(estimate.win_rate, estimate.low, estimate.high)}  n={estimate.num_prompts}"


def _interval(mean: float, low: float, high: float) -> str:
    return f"{mean:.3f} [{low:.3f}, {high:.3f}]"
