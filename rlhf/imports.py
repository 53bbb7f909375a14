"""An import is a run of its own, at work where the file comes in: what it stores is seen by nobody until it succeeds.

One that was cut off is taken over by whoever sends the same file again: another attempt, whose rows are its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F

from rlhf import runs
from rlhf.errors import Refusal
from rlhf.models import ModelVersion, Project, Run
from rlhf.runs import Claim

LONGEST = timedelta(hours=1)  # an import that began before that was cut off


class ImportLost(Refusal):
    """Somebody else sent the same file meanwhile, or the import was cancelled."""

    status = 409


def succeeded(*, project: Project, plan_key: str) -> Run | None:
    return Run.objects.filter(project=project, plan_key=plan_key, state=Run.State.SUCCEEDED).first()


@contextmanager
def claimed(
    *, project: Project, plan_key: str, now: datetime, purpose: str, policy: ModelVersion | None = None
) -> Iterator[Claim]:
    """The claim under which the rows of an import are stored; failed, and swept later, if the body raises.

    Raises ImportLost where another took it over just now.
    """
    cut = Run.objects.filter(project=project, kind=Run.Kind.IMPORT, state=Run.State.RUNNING)
    cut.filter(started_at__lt=now - LONGEST).update(state=Run.State.FAILED, ended_at=now, error="it was cut off")
    claim = _claim(project, plan_key, now, purpose, policy)
    try:
        yield claim
    except BaseException as error:
        if not runs.cancelled(claim=claim, now=now):
            runs.fail(claim=claim, now=now, error=str(error) or type(error).__name__)
        raise


def finish(*, claim: Claim, now: datetime, result: dict[str, Any]) -> None:
    """The update that makes all of it visible. Raises ImportLost, and then nothing of it ever is."""
    if not runs.succeed(claim=claim, now=now, result=result):
        raise ImportLost(f"expected run {claim.run_id} at attempt {claim.attempt}; it was taken over or cancelled")


def _claim(project: Project, plan_key: str, now: datetime, purpose: str, policy: ModelVersion | None) -> Claim:
    run, is_new = Run.objects.get_or_create(
        project=project,
        plan_key=plan_key,
        defaults={
            "kind": Run.Kind.IMPORT,
            "resource": Run.Resource.CPU,
            "purpose": purpose,
            "policy": policy,
            "state": Run.State.RUNNING,
            "attempt": 1,
            "created_at": now,
            "started_at": now,
        },
    )
    if is_new:
        return Claim(run.pk, 1)
    there = Run.objects.filter(pk=run.pk, attempt=run.attempt).exclude(state=Run.State.SUCCEEDED)
    begun = {"state": Run.State.RUNNING, "started_at": now, "ended_at": None, "cancel_requested_at": None, "error": ""}
    if not there.update(attempt=F("attempt") + 1, **begun):
        raise ImportLost("expected this file to be imported once at a time, found the same import just begun or done")
    return Claim(run.pk, run.attempt + 1)
