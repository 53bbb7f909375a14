"""The curves of a run: the logged steps of its attempts, stored as they come, thinned to what a chart can show."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rlhf.models import Run, RunMetric
from rlhf.runs import BATCH, Claim

MAX_POINTS = 500


def points(*, run: Run, max_points: int = MAX_POINTS) -> list[dict[str, Any]]:
    """At most `max_points` logged steps in order, evenly spread, the first and the last among them."""
    logged = RunMetric.objects.filter(run=run, attempt=run.attempt).order_by("step")
    ids = list(logged.values_list("id", flat=True))
    if len(ids) > max_points:
        last = len(ids) - 1
        logged = logged.filter(id__in=[ids[round(index * last / (max_points - 1))] for index in range(max_points)])
    return [{"step": metric.step, **metric.values} for metric in logged]


def record(*, claim: Claim, lines: Iterable[dict[str, Any]]) -> None:
    """Store metric lines of an attempt: those of one step (training, evaluation, an alarm) together. What is already
    stored stays as it is."""
    steps: dict[int, dict[str, Any]] = {}
    for line in lines:
        steps[line["step"]] = line | steps.get(line["step"], {})
    for known in RunMetric.objects.filter(run_id=claim.run_id, attempt=claim.attempt, step__in=list(steps)):
        values = steps.pop(known.step) | known.values
        if values != known.values:
            RunMetric.objects.filter(pk=known.pk).update(values=values)
    rows = [RunMetric(run_id=claim.run_id, attempt=claim.attempt, step=step, values=steps[step]) for step in steps]
    for start in range(0, len(rows), BATCH):
        RunMetric.objects.bulk_create(rows[start : start + BATCH], ignore_conflicts=True)
