"""What went wrong in runs, for the pages: told by the learning (rlhf/learning/alarms.py), kept as rows, read here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import F, Max, QuerySet

from rlhf.models import Project, Run, RunAlarm
from rlhf.runs import Claim

PHASE = "alarm"  # of the lines of metrics.jsonl that are alarms and no logged step
SHOWN = 5  # on the dashboard
_NAME, _MESSAGE = 60, 500


def is_alarm(*, line: dict[str, Any]) -> bool:
    return line.get("phase") == PHASE


def record(*, claim: Claim, lines: Iterable[dict[str, Any]]) -> None:
    """Store alarm lines of an attempt; one that is stored already stays as it is."""
    rows = [
        RunAlarm(
            run_id=claim.run_id,
            attempt=claim.attempt,
            step=line["step"],
            name=str(line["alarm"])[:_NAME],
            message=str(line["message"])[:_MESSAGE],
        )
        for line in lines
    ]
    RunAlarm.objects.bulk_create(rows, ignore_conflicts=True)


def of_run(*, run: Run) -> QuerySet[RunAlarm]:
    """Those of the latest attempt, oldest first."""
    return RunAlarm.objects.filter(run=run, attempt=run.attempt)


def of_round(*, project: Project) -> list[RunAlarm]:
    """The newest alarms of the newest round, with their runs; an earlier round's are on the pages of its runs."""
    newest = project.runs.aggregate(newest=Max("iteration"))["newest"]
    there = RunAlarm.objects.filter(run__project=project, run__iteration=newest, attempt=F("run__attempt"))
    return list(there.select_related("run").order_by("-id")[:SHOWN])
