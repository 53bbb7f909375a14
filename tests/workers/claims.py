"""Runs in the database of the environment: `python -m tests.workers.claims make NUM`, or `take` them."""

from __future__ import annotations

import json
import os
import sys

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.utils import timezone  # noqa: E402

from rlhf import runs  # noqa: E402
from rlhf.models import Project  # noqa: E402


def make(num: int) -> list[int]:
    project = Project.objects.create(name="P", slug="p", base_model="m", salt="s")
    asked = [
        runs.ask(project=project, kind="freeze", plan_key=str(number), now=timezone.now()) for number in range(num)
    ]
    return [run.pk for run in asked]


def take() -> list[tuple[int, int]]:
    """Claim until nothing is queued; every third run is given back once, as a worker that stops would."""
    claims = []
    while (claim := runs.claim(resource="cpu", worker=f"process-{os.getpid()}", now=timezone.now())) is not None:
        if claim.run_id % 3 == 0 and claim.attempt == 1:
            assert runs.release(claim=claim, now=timezone.now())
            continue
        claims.append((claim.run_id, claim.attempt))
    return claims


if __name__ == "__main__":
    print(json.dumps(make(int(sys.argv[2])) if sys.argv[1] == "make" else take()))
