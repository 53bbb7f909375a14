"""Server CPU of a labeler's round trip; the budget is 10 ms for an answer together with the next task.

    HONE_VAR=$(mktemp -d) python -m benchmarks.labeling --tasks 20000

The labeling API is driven in this process, over a new database and a pool of ranking tasks of four short answers. CPU
time is the process's own; say so if the machine was shared, for neighbours slow every instruction down.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import time
import uuid

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from rest_framework.test import APIClient  # noqa: E402

from annotate import batches  # noqa: E402
from rlhf import projects, prompts  # noqa: E402
from rlhf.models import Completion, ModelVersion, Project, ProjectToken, Role, Run, Scope  # noqa: E402

WARM_UP = 20
WORDS = [
    "please",
    "write",
    "a",
    "short",
    "note",
    "about",
    "the",
    "garden",
    "and",
    "the",
    "tea",
    "to",
    "a",
    "dear",
    "friend",
    "who",
    "likes",
    "the",
    "sea",
]


def labeler_of_a_pool(num_tasks: int) -> APIClient:
    project = Project.objects.create(name="Pool", slug="pool", base_model="none", salt="salt")
    labeler = User.objects.create_user("labeler")
    projects.join(project=project, user=labeler, role=Role.LABELER)
    prompts.add(
        project=project,
        prompts=[prompts.new_prompt(value=f"Write note number {number}") for number in range(num_tasks)],
        source="benchmark",
    )
    batches.open_rankings(project=project, batch="pool", iteration=1, completions=_completions(project))
    _, token = ProjectToken.objects.create(user=labeler, project=project, scope=Scope.LABEL)
    made = APIClient(SERVER_NAME="localhost")
    made.credentials(HTTP_AUTHORIZATION=f"Token {token}")
    return made


def _completions(project: Project) -> list[Completion]:
    draw = random.Random(0)
    version = ModelVersion.objects.create(project=project, kind=ModelVersion.Kind.SFT, name="v0")
    run = Run.objects.create(
        project=project, kind=Run.Kind.SAMPLE, resource=Run.Resource.GPU, purpose="ranking", plan_key="sample",
        state=Run.State.SUCCEEDED, attempt=1, policy=version,
    )  # fmt: skip
    rows = [
        Completion(
            project=project, prompt=prompt, version=version, run=run, attempt=1, sample_index=index, num_tokens=30,
            text=" ".join(draw.choices(WORDS, k=30)), finished=True,
        )
        for prompt in project.prompts.all()
        for index in range(4)
    ]  # fmt: skip
    return Completion.objects.bulk_create(rows, batch_size=500)


def measure(client: APIClient, num_answers: int) -> dict[str, float]:
    task = client.post("/api/v1/labeling/pool/next", {}, format="json").json()["next"]
    cpu_ms = []
    for _ in range(WARM_UP + num_answers):
        ranks = {shown["key"]: rank for rank, shown in enumerate(task["completions"], 1)}
        answer = {"submission_id": str(uuid.uuid4()), "ranks": ranks}
        started = time.process_time()
        reply = client.post(f"/api/v1/labeling/pool/assignments/{task['assignment']}/submit", answer, format="json")
        cpu_ms.append(1e3 * (time.process_time() - started))
        task = reply.json()["next"]
    measured = sorted(cpu_ms[WARM_UP:])
    return {"median_cpu_ms": statistics.median(measured), "p95_cpu_ms": measured[int(0.95 * num_answers)]}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=2_000, help="size of the pool")
    parser.add_argument("--answers", type=int, default=200, help="round trips that are measured")
    asked = parser.parse_args()
    call_command("migrate", verbosity=0)
    print(json.dumps({"tasks": asked.tasks, **measure(labeler_of_a_pool(asked.tasks), asked.answers)}))
