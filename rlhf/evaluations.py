"""Who won: verdicts and the estimates made of them; who judged is in `rlhf/judges.py`. Verdicts are the only truth.

A verdict counts, for everybody, when a person gave it or when the run that gave it succeeded at that attempt.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cache

from django.db import transaction
from django.db.models import F, Q, QuerySet

from rlhf.completions import visible
from rlhf.learning.style import Style, style
from rlhf.models import Completion, Estimate, Evaluation, Judge, ModelVersion, Project, Prompt, Run, Verdict

BATCH = 500  # rows per write transaction
FROZEN = ("evaluation_id", "prompt_id", "judge_id", "rater", "position", "replicate", "score")  # as they are
SELECTED = (
    "id", "prompt__split", "prompt__category", "evaluation__candidate_id", "evaluation__baseline_id",
    "candidate_completion_id", "baseline_completion_id", "candidate_reward", "baseline_reward",
)  # fmt: skip
EVALUATION = "evaluation"  # purpose of the sample runs whose answers are compared


@dataclass(frozen=True)
class NewVerdict:
    prompt_id: int
    candidate_completion_id: int
    baseline_completion_id: int
    score: float  # of the candidate: 1 won, 0.5 tie, 0 lost
    rater: str = ""
    position: str = Verdict.Position.NONE
    replicate: int = 0
    candidate_reward: float | None = None
    baseline_reward: float | None = None
    note: str = ""  # what the judge said


def open_evaluation(*, project: Project, candidate: ModelVersion, baseline: ModelVersion, iteration: int) -> Evaluation:
    """The evaluation of this pair: opened once, and found again when asked for twice."""
    evaluation, _ = Evaluation.objects.get_or_create(
        project=project, candidate=candidate, baseline=baseline, defaults={"iteration": iteration}
    )
    return evaluation


def record_verdicts(
    *, evaluation: Evaluation, judge: Judge, verdicts: Iterable[NewVerdict], run: Run | None = None, attempt: int = 0
) -> None:
    """Store verdicts in batches; one that is there already stays as it is."""
    source = iter(verdicts)
    while batch := list(itertools.islice(source, BATCH)):
        rows = [
            Verdict(
                evaluation=evaluation, project_id=evaluation.project_id, judge=judge, run=run, attempt=attempt,
                prompt_id=verdict.prompt_id, candidate_completion_id=verdict.candidate_completion_id,
                baseline_completion_id=verdict.baseline_completion_id, score=verdict.score, rater=verdict.rater,
                position=verdict.position, replicate=verdict.replicate, candidate_reward=verdict.candidate_reward,
                baseline_reward=verdict.baseline_reward, note=verdict.note,
            )
            for verdict in batch
        ]  # fmt: skip
        with transaction.atomic():
            Verdict.objects.bulk_create(rows, ignore_conflicts=True)


def visible_verdicts() -> QuerySet[Verdict]:
    counts = Q(run=None) | Q(run__state=Run.State.SUCCEEDED, run__attempt=F("attempt"))
    return Verdict.objects.filter(counts, withdrawn_at=None)


def withdraw_verdicts(*, verdicts: QuerySet[Verdict], now: datetime) -> int:
    """They stay, and count no more: their person revised them or is quarantined."""
    return verdicts.filter(withdrawn_at=None).update(withdrawn_at=now)


def restore_verdicts(*, verdicts: QuerySet[Verdict]) -> int:
    """They count again: their person was let go on."""
    return verdicts.update(withdrawn_at=None)


def verdict_rows(*, project: Project, evaluations: Iterable[Evaluation] | None = None) -> Iterator[dict[str, object]]:
    """The visible verdicts in the shape of docs/run_folder.md, in the order of their ids, ready to be frozen."""
    verdicts = visible_verdicts().filter(project=project).order_by("id")
    if evaluations is not None:
        verdicts = verdicts.filter(evaluation__in=list(evaluations))
    style_of = _styles()
    for row in verdicts.values(*FROZEN, *SELECTED).iterator(chunk_size=2_000):
        styles = {side: style_of(row[f"{side}_completion_id"]) for side in ("candidate", "baseline")}
        yield {
            "verdict_id": row["id"],
            "split": row["prompt__split"],
            "category": row["prompt__category"],
            "candidate_id": row["evaluation__candidate_id"],
            "baseline_id": row["evaluation__baseline_id"],
            "candidate_reward": row["candidate_reward"] or 0.0,
            "baseline_reward": row["baseline_reward"] or 0.0,
            **{name: row[name] for name in FROZEN},
            **{f"{side}_{name}": value for side, found in styles.items() for name, value in asdict(found).items()},
        }


def _styles() -> Callable[[int], Style]:
    """The style of a completion by its id; each text is read once."""

    @cache
    def style_of(pk: int) -> Style:
        return style(Completion.objects.values_list("text", flat=True).get(pk=pk))

    return style_of


def answers(
    *, version: ModelVersion, prompts: Iterable[Prompt] | QuerySet[Prompt] | None = None
) -> dict[int, Completion]:
    """The version's visible answer to each prompt, by prompt id: sample 0 of its earliest evaluation run."""
    completions = visible().filter(version=version, sample_index=0, run__purpose=EVALUATION)
    if prompts is not None:
        wanted = prompts if isinstance(prompts, QuerySet) else [prompt.pk for prompt in prompts]
        completions = completions.filter(prompt__in=wanted)
    return {completion.prompt_id: completion for completion in completions.order_by("-id")}


def latest_estimates(*, evaluation: Evaluation) -> list[Estimate]:
    """The estimates of the newest estimate run that succeeded; empty before the first."""
    return estimates_by_evaluation(evaluations=[evaluation])[evaluation.pk]


def estimates_by_evaluation(*, evaluations: Iterable[Evaluation]) -> dict[int, list[Estimate]]:
    """For each evaluation id the estimates of its newest succeeded estimate run, judges in the order of their ids."""
    estimates = Estimate.objects.filter(
        evaluation__in=list(evaluations), run__state=Run.State.SUCCEEDED, run__attempt=F("attempt")
    )
    newest: dict[int, list[Estimate]] = defaultdict(list)
    for estimate in estimates.select_related("judge").order_by("-run_id", "judge_id", "split"):
        found = newest[estimate.evaluation_id]
        if not found or found[0].run_id == estimate.run_id:
            found.append(estimate)
    return newest
