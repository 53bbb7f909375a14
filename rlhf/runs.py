"""The state of a run: asked for once, claimed by one worker at a time, changed by conditional updates only.

    QUEUED --claim (attempt + 1)--> RUNNING --> SUCCEEDED | FAILED | CANCELLED
       ^                               |
       '---- crash, release, stale ----'

A claim is the token (run, attempt). A worker that was thought dead holds an old one, and changes nothing with it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Case, DateTimeField, F, Q, QuerySet, Value, When
from django.db.models.functions import Coalesce

from rlhf import resources, run_kinds
from rlhf.errors import Refusal
from rlhf.models import DatasetSnapshot, Evaluation, Judge, ModelVersion, Project, Run

ATTEMPTS = 5  # before a run that crashes or goes silent has failed
LOG_CHARACTERS = 20_000  # kept of the child's output
ERROR_CHARACTERS = 10_000
BATCH = 500  # rows per write transaction: SQLite has one writer

ENDED = (Run.State.SUCCEEDED, Run.State.FAILED, Run.State.CANCELLED)


class NotCancellable(Refusal):
    status = 409


class NotRetryable(Refusal):
    status = 409


class Beat(enum.Enum):
    """What a heartbeat hears back."""

    LIVE = "live"
    CANCEL = "cancel"  # stop the child, then `cancelled`
    LOST = "lost"  # somebody else has the run, or it has ended: stop the child and change nothing


@dataclass(frozen=True)
class Claim:
    run_id: int
    attempt: int


@dataclass(frozen=True)
class Progress:
    step: int = 0
    total_steps: int = 0
    phase: str = ""
    log: str = ""


def ask(
    *,
    project: Project,
    kind: str,
    plan_key: str,
    now: datetime,
    purpose: str = "",
    iteration: int = 0,
    configuration: dict[str, Any] | None = None,
    selection: dict[str, Any] | None = None,
    policy: ModelVersion | None = None,
    reward_model: ModelVersion | None = None,
    sft: ModelVersion | None = None,
    snapshot: DatasetSnapshot | None = None,
    demonstrations: DatasetSnapshot | None = None,
    evaluation: Evaluation | None = None,
    judge: Judge | None = None,
) -> Run:
    """The run of this plan key, queued if nobody has asked for it yet. Raises BadRun for what its kind can't run."""
    run = Run(
        project=project,
        kind=kind,
        plan_key=plan_key,
        purpose=purpose,
        iteration=iteration,
        configuration=configuration or {},
        selection=selection or {},
        policy=policy,
        reward_model=reward_model,
        sft=sft,
        snapshot=snapshot,
        demonstrations=demonstrations,
        evaluation=evaluation,
        judge=judge,
        max_attempts=ATTEMPTS,
        created_at=now,
    )
    run.resource = resources.of(run=run)
    asked = Run.objects.filter(project=project, plan_key=plan_key)
    if found := asked.first():
        return found
    run_kinds.check(run=run)
    # The unique plan key decides: of two who ask at the same time, one inserts and both read the same row.
    Run.objects.bulk_create([run], ignore_conflicts=True)
    return asked.get()


def claim(*, resource: str, worker: str, now: datetime) -> Claim | None:
    """The oldest queued run of a resource, now this worker's; None when there is none."""
    while True:
        seen = Run.objects.filter(resource=resource, state=Run.State.QUEUED).order_by("id").first()
        if seen is None:
            return None
        # The state and the attempt as they were seen: of two workers that saw the same row, one update counts.
        taken = Run.objects.filter(pk=seen.pk, state=Run.State.QUEUED, attempt=seen.attempt).update(
            state=Run.State.RUNNING,
            attempt=seen.attempt + 1,
            worker=worker[:100],
            heartbeat_at=now,
            started_at=Coalesce(F("started_at"), Value(now)),
            error="",
        )
        if taken:
            return Claim(run_id=seen.pk, attempt=seen.attempt + 1)


def held(*, claim: Claim) -> QuerySet[Run]:
    """The run while this claim is good: the condition of every update that a worker makes."""
    return Run.objects.filter(pk=claim.run_id, attempt=claim.attempt, state=Run.State.RUNNING)


def heartbeat(*, claim: Claim, now: datetime, progress: Progress) -> Beat:
    if not held(claim=claim).update(
        heartbeat_at=now,
        step=progress.step,
        total_steps=progress.total_steps,
        phase=progress.phase[:40],
        log=progress.log[-LOG_CHARACTERS:],
    ):
        return Beat.LOST
    cancelled = held(claim=claim).filter(cancel_requested_at__isnull=False).exists()
    return Beat.CANCEL if cancelled else Beat.LIVE


def succeed(
    *,
    claim: Claim,
    now: datetime,
    result: dict[str, Any],
    made_version: ModelVersion | None = None,
    made_snapshot: DatasetSnapshot | None = None,
) -> bool:
    """The update that makes an attempt's rows visible, all at once. False: lost, or a cancel came first."""
    return bool(
        held(claim=claim)
        .filter(cancel_requested_at__isnull=True)
        .update(
            state=Run.State.SUCCEEDED,
            result=result,
            made_version=made_version,
            made_snapshot=made_snapshot,
            error="",
            ended_at=now,
        )
    )


def fail(*, claim: Claim, now: datetime, error: str) -> bool:
    """Bad input: another attempt would fail in the same way."""
    return bool(held(claim=claim).update(state=Run.State.FAILED, error=error[:ERROR_CHARACTERS], ended_at=now))


def crash(*, claim: Claim, now: datetime, error: str) -> bool:
    """Back into the queue, or FAILED at the last attempt."""
    return bool(_give_up(held(claim=claim), now=now, error=error[:ERROR_CHARACTERS]))


def release(*, claim: Claim, now: datetime) -> bool:
    """Back into the queue because the worker ends; this attempt is not held against the run."""
    return bool(_give_up(held(claim=claim), now=now, error="", charged=0))


def cancelled(*, claim: Claim, now: datetime) -> bool:
    """The child of a run that is to be cancelled is gone."""
    return bool(
        held(claim=claim)
        .filter(cancel_requested_at__isnull=False)
        .update(state=Run.State.CANCELLED, error="", ended_at=now)
    )


def requeue_stale(*, now: datetime, stale_s: float) -> int:
    """Put runs whose worker has gone silent back into the queue; how many there were."""
    silent = Run.objects.filter(state=Run.State.RUNNING, heartbeat_at__lt=now - timedelta(seconds=stale_s))
    return _give_up(silent, now=now, error=f"the worker gave no sign of life for {stale_s:g} s")


def _give_up(rows: QuerySet[Run], *, now: datetime, error: str, charged: int = 1) -> int:
    is_cancelled = Q(cancel_requested_at__isnull=False)
    is_last = Q(attempt__gte=F("max_attempts") + 1 - charged)
    return rows.update(
        state=Case(
            When(is_cancelled, then=Value(Run.State.CANCELLED)),
            When(is_last, then=Value(Run.State.FAILED)),
            default=Value(Run.State.QUEUED),
        ),
        max_attempts=F("max_attempts") + 1 - charged,
        ended_at=Case(When(is_cancelled | is_last, then=Value(now)), default=None, output_field=DateTimeField()),
        error=error,
    )


def request_cancel(*, run: Run, now: datetime) -> Run:
    """CANCELLED at once where it is queued, soon where it is running. Raises NotCancellable where it has ended."""
    is_queued = Q(state=Run.State.QUEUED)
    asked = Run.objects.filter(pk=run.pk, state__in=(Run.State.QUEUED, Run.State.RUNNING)).update(
        state=Case(When(is_queued, then=Value(Run.State.CANCELLED)), default=F("state")),
        ended_at=Case(When(is_queued, then=Value(now)), default=F("ended_at")),
        cancel_requested_at=Coalesce(F("cancel_requested_at"), Value(now)),
    )
    run = Run.objects.get(pk=run.pk)
    if not asked:
        raise NotCancellable(f"expected a queued or running run, found run {run.pk} {run.state}")
    return run


def retry(*, run: Run) -> Run:
    """Queue a failed or cancelled run again, with as many attempts as a new one. Raises NotRetryable."""
    if run.kind == Run.Kind.IMPORT:
        raise NotRetryable(f"run {run.pk} is an import: expected its file to be sent again, no worker has it")
    queued = Run.objects.filter(pk=run.pk, state__in=(Run.State.FAILED, Run.State.CANCELLED)).update(
        state=Run.State.QUEUED,
        max_attempts=F("attempt") + ATTEMPTS,
        cancel_requested_at=None,
        ended_at=None,
        error="",
    )
    run = Run.objects.get(pk=run.pk)
    if not queued:
        raise NotRetryable(f"expected a failed or cancelled run, found run {run.pk} {run.state}")
    return run
