"""Who won: verdicts and the estimates made of them; who judged is in `rlhf/judges.py`. Verdicts are the only truth.

A verdict counts, for everybody, when a person gave it or when the run that gave it succeeded at that attempt.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F, Q, QuerySet

from rlhf.completions import visible
from rlhf.errors import Refusal
from rlhf.learning.style import Style, style
from rlhf.models import (
    Completion,
    DatasetSnapshot,
    Estimate,
    Evaluation,
    Judge,
    ModelVersion,
    Project,
    Prompt,
    Run,
    Verdict,
)

BATCH = 500  # rows per write transaction
CHUNK = 2_000  # verdicts that are read at a time
LONG_SPAN = 100  # ids in a row from which on a query names a span by its ends: SQLite takes no thousand of those
SIDES = ("candidate", "baseline")
STYLES = tuple(each.name for each in fields(Style))
FROZEN = ("evaluation_id", "prompt_id", "judge_id", "rater", "position", "replicate", "score")  # as they are
SELECTED = (
    "id", "run_id", "prompt__split", "prompt__category", "evaluation__candidate_id", "evaluation__baseline_id",
    "candidate_completion_id", "baseline_completion_id", "candidate_reward", "baseline_reward",
)  # fmt: skip
EVALUATION = "evaluation"  # purpose of the sample runs whose answers are compared


class NotListed(Refusal):
    """A snapshot that doesn't say which verdicts it froze."""

    status = 410


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


@dataclass
class Frozen:
    """Which verdicts a snapshot holds, in few words: whole runs, and spans of ids of those that no run gave.

    Verdicts of a succeeded run never change. A span has no gap, so nothing can come into it later.
    """

    runs: set[int] = field(default_factory=set)
    spans: list[list[int]] = field(default_factory=list)  # first and last id

    def add(self, *, pk: int, run_id: int | None) -> None:
        """Ids come in their order."""
        if run_id is not None:
            self.runs.add(run_id)
        elif self.spans and self.spans[-1][1] == pk - 1:
            self.spans[-1][1] = pk
        else:
            self.spans.append([pk, pk])

    def parameters(self) -> dict[str, list[Any]]:
        return {"runs": sorted(self.runs), "spans": self.spans}


def verdict_rows(
    *, project: Project, evaluations: Iterable[Evaluation] | None = None, frozen: Frozen | None = None
) -> Iterator[dict[str, object]]:
    """The visible verdicts in the shape of docs/run_folder.md, in the order of their ids, ready to be frozen.

    Neither verdicts nor texts are ever held at once. `frozen` is told which verdicts there were.
    """
    verdicts = visible_verdicts().filter(project=project).order_by("id")
    if evaluations is not None:
        verdicts = verdicts.filter(evaluation__in=list(evaluations))
    source = verdicts.values(*FROZEN, *SELECTED).iterator(chunk_size=CHUNK)
    styles: dict[int, Style] = {}
    while chunk := list(itertools.islice(source, CHUNK)):
        _add_styles(styles, {row[f"{side}_completion_id"] for row in chunk for side in SIDES})
        for row in chunk:
            if frozen is not None:
                frozen.add(pk=row["id"], run_id=row["run_id"])
            yield _verdict_row(row, styles)


def _verdict_row(row: dict[str, Any], styles: dict[int, Style]) -> dict[str, object]:
    known = {side: styles[row[f"{side}_completion_id"]] for side in SIDES}
    return {
        "verdict_id": row["id"],
        "split": row["prompt__split"],
        "category": row["prompt__category"],
        "candidate_id": row["evaluation__candidate_id"],
        "baseline_id": row["evaluation__baseline_id"],
        "candidate_reward": row["candidate_reward"] or 0.0,
        "baseline_reward": row["baseline_reward"] or 0.0,
        **{name: row[name] for name in FROZEN},
        **{f"{side}_{name}": getattr(found, name) for side, found in known.items() for name in STYLES},
    }


def _add_styles(styles: dict[int, Style], wanted: set[int]) -> None:
    """Each text is read once, a batch of them at a time."""
    missing = sorted(wanted - styles.keys())
    for start in range(0, len(missing), BATCH):
        texts = Completion.objects.filter(pk__in=missing[start : start + BATCH]).values_list("pk", "text")
        styles.update((pk, style(text)) for pk, text in texts)


def verdicts_as_of(*, snapshot: DatasetSnapshot) -> QuerySet[Verdict]:
    """Exactly the verdicts that a snapshot froze, whatever was given or withdrawn later.

    Raises NotListed for a snapshot that says nothing of that.
    """
    listed = snapshot.parameters.get("verdicts")
    if snapshot.configuration != "verdicts" or listed is None:
        raise NotListed(f"snapshot {snapshot.pk}: expected one of verdicts that lists them, found {snapshot}")
    verdicts = Verdict.objects.filter(project=snapshot.project_id)
    if "evaluations" in snapshot.parameters:
        verdicts = verdicts.filter(evaluation__in=snapshot.parameters["evaluations"])
    chosen = Q(run__in=listed["runs"], attempt=F("run__attempt"))
    single: list[int] = []
    for first, last in listed["spans"]:
        if last - first < LONG_SPAN:
            single += range(first, last + 1)
        else:
            chosen |= Q(run=None, pk__range=(first, last))
    return verdicts.filter(chosen | Q(run=None, pk__in=single))


def answers(
    *, version: ModelVersion, prompts: Iterable[Prompt] | QuerySet[Prompt] | None = None
) -> dict[int, Completion]:
    """The version's visible answer to each prompt, by prompt id: sample 0 of its earliest evaluation run."""
    completions = visible().filter(version=version, sample_index=0, run__purpose=EVALUATION)
    if prompts is not None:
        wanted = prompts if isinstance(prompts, QuerySet) else [prompt.pk for prompt in prompts]
        completions = completions.filter(prompt__in=wanted)
    return {completion.prompt_id: completion for completion in completions.order_by("-id")}


def answered_by(*, version: ModelVersion) -> Q:
    """Of prompts: the version has answered it."""
    return Q(pk__in=visible().filter(version=version, sample_index=0, run__purpose=EVALUATION).values("prompt"))


def answered_by_both(*, evaluation: Evaluation) -> QuerySet[Prompt]:
    """The prompts that candidate and baseline have answered."""
    prompts = Prompt.objects.filter(answered_by(version=evaluation.candidate), project=evaluation.project_id)
    return prompts.filter(answered_by(version=evaluation.baseline))


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
