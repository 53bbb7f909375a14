"""Two who act at the same moment, made to: the second comes between the other's look and its update."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from rlhf import runs
from rlhf.models import Project
from rlhf.runs import Claim

pytestmark = pytest.mark.django_db


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
