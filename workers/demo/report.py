"""The closing tables: versions and win rates, reward models beside their ceiling, and the time that each stage took."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.console import RenderableType
from rich.table import Table

from rlhf import evaluation_snapshots
from rlhf.models import Project
from rlhf.overview import document
from rlhf.overview.document import Document
from workers.demo.audit import RewardModelReport
from workers.demo.stages import Stage
from workers.demo.view import duration


def versions(*, project: Project) -> RenderableType:
    """What every judge says of every comparison, from the newest frozen evaluation, the one that the overview shows."""
    table = Table(title="Versions and win rates (held-out prompts, ties as half, 95 % intervals clustered by prompt)")
    columns = ("candidate", "against", "decision", "judge", "win rate", "prompts", "unsettled")
    for column in columns:
        table.add_column(column, justify="left" if column in columns[:4] else "right", no_wrap=True)
    snapshot = evaluation_snapshots.newest(project=project)
    decisions = {
        (promotion.candidate_id, promotion.baseline_id): "promoted" if promotion.promoted else "not promoted"
        for promotion in project.promotions.all()
    }
    for row in [] if snapshot is None else _rows(document.read(snapshot=snapshot), decisions):
        if row[0]:
            table.add_section()
        table.add_row(*row)
    return table


def _rows(found: Document, decisions: Mapping[tuple[int, int | None], str]) -> Iterator[tuple[str, ...]]:
    for pair, cells in found.cells_of_pair.items():
        names = [found.versions[version]["name"] for version in pair]
        head = (*names, decisions.get(pair, ""))
        for cell in cells:
            was_trained = found.was_training_reward(cell["judge"], cell["candidate"])
            yield (
                *head,
                found.judges[cell["judge"]]["name"] + ", which it was trained on" * was_trained,
                _interval(cell["win_rate"], cell["low"], cell["high"]),
                f"{cell['num_prompts']:,}",
                f"{cell['unsettled']:,}" if found.judges[cell["judge"]]["both_orders"] else "",
            )
            head = ("", "", "")


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


def _interval(mean: float, low: float, high: float) -> str:
    return f"{mean:.3f} [{low:.3f}, {high:.3f}]"
