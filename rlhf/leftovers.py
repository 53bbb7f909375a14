"""Rows of attempts that ended without success: nobody ever saw them, and the sweep deletes them."""

from __future__ import annotations

from django.db.models import Model, Q

from rlhf.models import Completion, Estimate, Run, Verdict
from rlhf.runs import BATCH

OUTPUTS: tuple[type[Model], ...] = (Estimate, Verdict, Completion)  # who points to whom: verdicts before completions
HOPELESS = (Run.State.FAILED, Run.State.CANCELLED)


def sweep() -> int:
    """Delete outputs of attempts that can no longer succeed, in batches; how many there were."""
    # Few runs have failed or tried twice, so their rows are found by index and not by reading all outputs.
    suspects = Run.objects.filter(Q(state__in=HOPELESS) | Q(attempt__gt=1)).order_by("id")
    return sum(_sweep(run, output) for run in suspects for output in OUTPUTS)


def _sweep(run: Run, output: type[Model]) -> int:
    """A hopeless run loses all attempts, another one those before its latest."""
    last = run.attempt if run.state in HOPELESS else run.attempt - 1
    rows = output._default_manager.filter(run=run, attempt__lte=last).order_by("pk")
    num_deleted = 0
    while batch := list(rows.values_list("pk", flat=True)[:BATCH]):
        deleted, _ = rows.filter(pk__in=batch).delete()
        num_deleted += deleted
    return num_deleted
