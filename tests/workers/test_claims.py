"""Several workers, one queue: every run is claimed once, on SQLite and on PostgreSQL."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from rlhf import runs
from rlhf.models import Project
from rlhf.runs import Claim
from tests.services import ROOT

NUM_RUNS, NUM_PROCESSES = 60, 3


def test_processes_that_claim_at_once_share_the_runs_without_overlap(database_url: str, tmp_path: Path) -> None:
    environment = {**os.environ, "DATABASE_URL": database_url, "HONE_VAR": str(tmp_path)}
    python(environment, "manage.py", "migrate", "--verbosity", "0")
    made = json.loads(python(environment, "-m", "tests.workers.claims", "make", str(NUM_RUNS)))

    with ThreadPoolExecutor(NUM_PROCESSES) as pool:
        taken = list(
            pool.map(lambda _: python(environment, "-m", "tests.workers.claims", "take"), range(NUM_PROCESSES))
        )

    claims = [tuple(claim) for output in taken for claim in json.loads(output)]
    assert sorted(run for run, _ in claims) == made
    assert all(attempt == (2 if run % 3 == 0 else 1) for run, attempt in claims)


@pytest.mark.django_db
def test_a_run_that_is_taken_between_looking_and_claiming_is_not_taken_twice() -> None:
    project = Project.objects.create(name="P", slug="p", base_model="m", salt="s")
    first, second = (
        runs.ask(project=project, kind="freeze", plan_key=key, now=timezone.now()) for key in ("first", "second")
    )
    others: list[Claim | None] = []

    def somebody_else_is_quicker(execute: Any, statement: str, parameters: Any, many: bool, context: Any) -> Any:
        if statement.startswith("UPDATE") and not others:
            others.append(None)  # once
            others[0] = runs.claim(resource="cpu", worker="quicker", now=timezone.now())
        return execute(statement, parameters, many, context)

    with connection.execute_wrapper(somebody_else_is_quicker):
        claim = runs.claim(resource="cpu", worker="slower", now=timezone.now())

    assert others == [Claim(first.pk, 1)]
    assert claim == Claim(second.pk, 1)


@pytest.mark.django_db
def test_a_run_that_is_cancelled_while_it_is_claimed_ends_cancelled() -> None:
    project = Project.objects.create(name="P", slug="p", base_model="m", salt="s")
    run = runs.ask(project=project, kind="freeze", plan_key="run", now=timezone.now())
    claims: list[Claim | None] = []

    def claimed_meanwhile(execute: Any, statement: str, parameters: Any, many: bool, context: Any) -> Any:
        if statement.startswith("UPDATE") and not claims:
            claims.append(None)
            claims[0] = runs.claim(resource="cpu", worker="w", now=timezone.now())
        return execute(statement, parameters, many, context)

    with connection.execute_wrapper(claimed_meanwhile):
        run = runs.request_cancel(run=run, now=timezone.now())

    assert run.state == "running" and run.cancel_requested_at is not None
    assert claims[0] is not None
    assert not runs.succeed(claim=claims[0], now=timezone.now(), result={})
    assert runs.cancelled(claim=claims[0], now=timezone.now())


def python(environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2_000:]
    return done.stdout
