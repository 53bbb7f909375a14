"""A pool of tasks in the database that the environment names: `python -m tests.annotate.pool make pool 60 20`."""

from __future__ import annotations

import json
import os
import sys
from datetime import timedelta

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.db.models import F  # noqa: E402

from annotate import batches, protocols  # noqa: E402
from annotate.models import Assignment, Demonstration, Protocol, Submission, Task  # noqa: E402
from rlhf.models import ProjectToken, Role, Scope  # noqa: E402
from tests.annotate import rows  # noqa: E402

OVERLAP = 3


def make(slug: str, num_tasks: str, num_labelers: str) -> list[str]:
    """Tokens of the labelers of a project with tasks for three people each."""
    project = rows.project(slug=slug)
    asked = protocols.protocol(project=project, kind=Protocol.Kind.DEMONSTRATE)
    protocols.revise(protocol=asked, overlap=OVERLAP, auto_pause=False)  # these clients answer at once
    prompts = rows.prompts(project=project, num=int(num_tasks))
    batches.open_demonstrations(project=project, prompts=prompts, batch="pool")
    people = [
        rows.member(project=project, name=f"labeler{number}", role=Role.LABELER) for number in range(int(num_labelers))
    ]
    return [ProjectToken.objects.create(user=who.user, project=project, scope=Scope.LABEL)[1] for who in people]


def lapse(slug: str) -> int:
    """A lease's time goes by for everything that is held."""
    held = Assignment.objects.filter(task__project__slug=slug, slot__isnull=False)
    return held.exclude(state=Assignment.State.SUBMITTED).update(
        lease_expires_at=F("lease_expires_at") - timedelta(minutes=31)
    )


def count(slug: str) -> dict[str, object]:
    of_tasks = Assignment.objects.filter(task__project__slug=slug)
    submitted = of_tasks.filter(state=Assignment.State.SUBMITTED)
    return {
        "states": sorted(
            Task.objects.filter(project__slug=slug).order_by().values_list("state", "num_submitted").distinct()
        ),
        "answers": sorted(submitted.values_list("task_id", "slot", "labeler_id")),
        "other_states": sorted(of_tasks.exclude(pk__in=submitted).values_list("state", flat=True)),
        "num_submissions": Submission.objects.filter(project__slug=slug).count(),
        "num_demonstrations": Demonstration.objects.filter(project__slug=slug, counts=True).count(),
    }


if __name__ == "__main__":
    print(json.dumps({"make": make, "lapse": lapse, "count": count}[sys.argv[1]](*sys.argv[2:])))
