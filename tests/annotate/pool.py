"""A pool of tasks in the database that the environment names: `python -m tests.annotate.pool make TASKS LABELERS`."""

from __future__ import annotations

import json
import os
import sys

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from annotate import batches, protocols  # noqa: E402
from annotate.models import Assignment, Demonstration, Protocol, Submission, Task  # noqa: E402
from rlhf.models import ProjectToken, Role, Scope  # noqa: E402
from tests.annotate import rows  # noqa: E402

OVERLAP = 2


def make(num_tasks: int, num_labelers: int) -> list[str]:
    """Tokens of the labelers of a project with tasks for two people each."""
    project = rows.project(slug="pool")
    asked = protocols.protocol(project=project, kind=Protocol.Kind.DEMONSTRATE)
    protocols.revise(protocol=asked, overlap=OVERLAP, auto_pause=False)  # these clients answer at once
    prompts = rows.prompts(project=project, num=num_tasks)
    batches.open_demonstrations(project=project, prompts=prompts, batch="pool")
    people = [
        rows.member(project=project, name=f"labeler{number}", role=Role.LABELER) for number in range(num_labelers)
    ]
    return [ProjectToken.objects.create(user=who.user, project=project, scope=Scope.LABEL)[1] for who in people]


def count() -> dict[str, object]:
    return {
        "states": sorted(Task.objects.order_by().values_list("state", "num_submitted").distinct()),
        "answers": sorted(
            Assignment.objects.filter(state=Assignment.State.SUBMITTED).values_list("task_id", "slot", "labeler_id")
        ),
        "other_states": sorted(Assignment.objects.exclude(state=Assignment.State.SUBMITTED).values_list("state")),
        "num_submissions": Submission.objects.count(),
        "num_demonstrations": Demonstration.objects.filter(counts=True).count(),
    }


if __name__ == "__main__":
    print(json.dumps(make(*map(int, sys.argv[2:])) if sys.argv[1] == "make" else count()))
