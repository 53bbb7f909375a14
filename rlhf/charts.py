"""What the charts draw, as rows: the same rows fill the table beside each chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.urls import reverse

from rlhf.models import Estimate, Evaluation, Judge, ModelVersion, Project, Split

PREVIOUS, FIRST = "the version before", "the first version"
KINDS: dict[str, str] = {
    Judge.Kind.PEOPLE: "people",
    Judge.Kind.GOLD: "gold",
    Judge.Kind.REWARD_MODEL: "reward model",
}  # in order
NOT_CURVES = frozenset({"step", "total_steps", "time", "phase", "epoch"})
CURVES = (
    "loss", "accuracy", "score", "kl", "kl_sft", "length", "entropy", "eos_rate", "value_loss", "explained_variance",
    "reward_chosen", "reward_rejected", "score_spread", "clip_fraction", "approximate_kl", "ratio", "kl_coefficient",
    "gradient_norm", "learning_rate", "tokens_per_second",
)  # fmt: skip


@dataclass(frozen=True)
class TimelinePoint:
    against: str  # PREVIOUS or FIRST
    version: str
    baseline: str
    judge_kind: str
    judge: str
    win_rate: float
    low: float
    high: float
    num_prompts: int
    wins: int
    ties: int
    losses: int
    url: str


@dataclass(frozen=True)
class Cell:
    """Win rate of the row's version over the column's; None where the pair was not judged."""

    win_rate: float | None
    low: float = 0.0
    high: float = 0.0
    num_prompts: int = 0
    url: str = ""

    @property
    def shade(self) -> int:
        """1 (worse) to 7 (better) of the diverging scale."""
        return 4 if self.win_rate is None else min(7, 1 + int(self.win_rate * 7))


@dataclass(frozen=True)
class MatrixRow:
    version: ModelVersion
    cells: Sequence[Cell]


def percent(share: float) -> str:
    return f"{share * 100:.0f}\N{NO-BREAK SPACE}%"


def timeline(
    *, project: Project, evaluations: Sequence[Evaluation], estimates: Mapping[int, Sequence[Estimate]]
) -> list[TimelinePoint]:
    """Held-out win rates of each candidate against the one before and the first, a point per kind of judge."""
    rows = []
    for against, chosen in ((PREVIOUS, _newest_baseline(evaluations)), (FIRST, _first_baseline(evaluations))):
        for evaluation in chosen:
            held_out = newest_by_kind(estimates=estimates.get(evaluation.pk, ()))
            rows += [_point(project, against, evaluation, estimate) for estimate in held_out]
    return rows


def newest_by_kind(*, estimates: Sequence[Estimate]) -> list[Estimate]:
    """Of several judges of a kind (a reward model per iteration) the newest; people first, held-out prompts only."""
    newest = {estimate.judge.kind: estimate for estimate in estimates if estimate.split == Split.HELD_OUT}
    return [newest[kind] for kind in KINDS if kind in newest]


def matrix(
    *,
    project: Project,
    versions: Sequence[ModelVersion],
    evaluations: Sequence[Evaluation],
    estimates: Mapping[int, Sequence[Estimate]],
    judge_kind: str,
) -> list[MatrixRow]:
    cells: dict[tuple[int, int], Cell] = {}
    for evaluation in evaluations:
        for row in newest_by_kind(estimates=estimates.get(evaluation.pk, ())):
            if row.judge.kind == judge_kind:
                pair = (evaluation.candidate_id, evaluation.baseline_id)
                url = evaluation_url(project=project, evaluation=evaluation, estimate=row)
                cells[pair] = Cell(row.win_rate, row.low, row.high, row.num_prompts, url)
                cells[pair[::-1]] = Cell(1 - row.win_rate, 1 - row.high, 1 - row.low, row.num_prompts, url)
    return [MatrixRow(one, [cells.get((one.pk, other.pk), Cell(None)) for other in versions]) for one in versions]


def evaluation_url(*, project: Project, evaluation: Evaluation, estimate: Estimate) -> str:
    """The list of the pairs behind an estimate."""
    address = reverse("evaluation", kwargs={"project": project.slug, "pk": evaluation.pk})
    return f"{address}?judge={estimate.judge_id}&split={estimate.split}"


def curve_names(*, points: Sequence[Mapping[str, Any]]) -> list[str]:
    """The numbers that were logged, the telling ones first."""
    names = {
        name
        for point in points
        for name, value in point.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    } - NOT_CURVES
    return [name for name in CURVES if name in names] + sorted(names - set(CURVES))


def _point(project: Project, against: str, evaluation: Evaluation, row: Estimate) -> TimelinePoint:
    return TimelinePoint(
        against=against,
        version=evaluation.candidate.name,
        baseline=evaluation.baseline.name,
        judge_kind=row.judge.kind,
        judge=row.judge.name,
        win_rate=row.win_rate,
        low=row.low,
        high=row.high,
        num_prompts=row.num_prompts,
        wins=row.wins,
        ties=row.ties,
        losses=row.losses,
        url=evaluation_url(project=project, evaluation=evaluation, estimate=row),
    )


def _numbered(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    chosen = [row for row in evaluations if row.candidate.number is not None and row.baseline.number is not None]
    return sorted(chosen, key=lambda row: (row.candidate.number or 0, row.baseline.number or 0))


def _newest_baseline(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    return list({row.candidate_id: row for row in _numbered(evaluations)}.values())


def _first_baseline(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    return [row for row in _numbered(evaluations) if row.baseline.number == 0]
