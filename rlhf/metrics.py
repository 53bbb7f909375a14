"""The curves of a run: the logged steps of its latest attempt, thinned to what a chart can show."""

from __future__ import annotations

from typing import Any

from rlhf.models import Run, RunMetric

MAX_POINTS = 500


def points(*, run: Run, max_points: int = MAX_POINTS) -> list[dict[str, Any]]:
    """At most `max_points` logged steps in order, evenly spread, the first and the last among them."""
    logged = RunMetric.objects.filter(run=run, attempt=run.attempt).order_by("step")
    ids = list(logged.values_list("id", flat=True))
    if len(ids) > max_points:
        last = len(ids) - 1
        logged = logged.filter(id__in=[ids[round(index * last / (max_points - 1))] for index in range(max_points)])
    return [{"step": metric.step, **metric.values} for metric in logged]
