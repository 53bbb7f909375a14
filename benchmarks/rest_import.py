"""A new project in a new database, verdicts sent to it over REST, and the document that a worker makes of them."""

from __future__ import annotations

from typing import Any

import django

django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.utils import timezone  # noqa: E402
from rest_framework.test import APIClient  # noqa: E402

from rlhf import evaluation_snapshots, tokens  # noqa: E402
from rlhf.access import Access  # noqa: E402
from rlhf.models import Membership, Project, Role, Run, Scope  # noqa: E402
from workers import overview as overviews  # noqa: E402
from workers.execute import open_worker  # noqa: E402


def new_project() -> tuple[Project, APIClient]:
    """A project and a client with a manager's token of scope write."""
    call_command("migrate", verbosity=0)
    project = Project.objects.create(name="AlpacaEval", slug="alpaca-eval", base_model="none", salt="salt")
    user = User.objects.create_user("manager")
    Membership.objects.create(project=project, user=user, role=Role.MANAGER, pseudonym="manager")
    _, plain = tokens.create(access=Access(user, project, Role.MANAGER, "manager"), scope=Scope.WRITE, name="")
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {plain}")
    return project, client


def send(client: APIClient, project: Project, content: bytes) -> dict[str, Any]:
    url = f"/api/v1/projects/{project.slug}/verdicts/import?judge=AlpacaEval&split=held_out"
    answer = client.post(url, content, content_type="application/jsonl", HTTP_HOST="localhost")
    assert answer.status_code == 201, answer.content
    found: dict[str, Any] = answer.json()
    return found


def overview(project: Project) -> dict[str, Any]:
    """Plan and work until nothing is left to do."""
    worker = open_worker(resource=Run.Resource.CPU)
    try:
        while True:
            overviews.plan(project=project, now=timezone.now(), patient=False)
            if not worker.work():
                break
    finally:
        worker.starter.close()
    failed = Run.objects.filter(project=project, state=Run.State.FAILED).first()
    assert failed is None, failed.error
    newest = evaluation_snapshots.newest(project=project)
    assert newest is not None
    return evaluation_snapshots.content(snapshot=newest)
