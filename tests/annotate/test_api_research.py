"""Answers for researchers, up the ladder: works, pages, anonymous, wrong role, wrong scope, elsewhere, bad input."""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from annotate import protocols, submissions
from annotate.models import Assignment
from rlhf.access import Access
from rlhf.models import Membership, Project, Role, Scope
from tests.annotate import rows
from tests.annotate.rows import NOW
from tests.annotate.test_api import client
from tests.annotate.test_submissions import lease, submit

URL = "/api/v1/projects/letters/answers"


@pytest.fixture
def remy(project: Project) -> APIClient:
    return client(rows.member(project=project, name="remy", role=Role.RESEARCHER), Scope.READ)


def test_an_answer_is_shown_with_what_it_was_given_under(project: Project, ada: Access, remy: APIClient) -> None:
    task = rows.ranking_task(project=project, texts=["x", "y"], iteration=2)
    protocols.revise(protocol=task.protocol, guidelines="Be fair")
    held = lease(ada)
    first = submit(ada, held, ranks={"a": 1, "b": 2}, active_s=3.5)
    submit(ada, held, ranks={"a": 2, "b": 1}, active_s=9.0, revises=first.revision)

    old, new = remy.get(URL).json()["results"]

    assert {name: new[name] for name in new if name not in ("id", "submitted_at")} == {
        "task": task.pk, "assignment": held.pk, "kind": "rank", "purpose": "work", "batch": task.batch, "iteration": 2,
        "prompt": task.prompt_id, "completion_ids": held.order_shown, "answer": {"ranks": {"a": 2, "b": 1}},
        "labeler": ada.pseudonym, "state": "submitted", "slot": 0, "revision": 2, "is_latest": True,
        "protocol": task.protocol_id, "protocol_revision": 2, "guideline_revision": 2, "active_s": 9.0,
        "gold_score": None,
    }  # fmt: skip
    assert (old["revision"], old["is_latest"], old["answer"]) == (1, False, {"ranks": {"a": 1, "b": 2}})


def test_answers_come_in_pages_by_state_and_without_names_of_people_who_left(
    project: Project, ada: Access, bo: Access, remy: APIClient
) -> None:
    for who in (ada, bo, ada):
        rows.task(project=project)
        submit(who, lease(who), text=f"by {who.user}")
    Assignment.objects.filter(labeler=bo.user).update(state="surplus", slot=None)
    Membership.objects.filter(user=bo.user).delete()

    page = remy.get(URL, {"limit": 2}).json()
    rest = remy.get(page["next"]).json()["results"]

    assert [row["answer"]["text"] for row in page["results"] + rest] == ["by ada", "by bo", "by ada"]
    (surplus,) = remy.get(URL, {"state": "surplus"}).json()["results"]
    assert (surplus["labeler"], surplus["slot"]) == ("former member", None)
    assert len(remy.get(URL, {"labeler": ada.pseudonym}).json()["results"]) == 2


def test_a_page_costs_the_same_number_of_queries_however_long(
    project: Project, ada: Access, remy: APIClient, django_assert_max_num_queries
) -> None:
    for _ in range(8):
        rows.task(project=project)
        submit(ada, lease(ada), text="Dear you")
    with django_assert_max_num_queries(8):
        assert len(remy.get(URL).json()["results"]) == 8


def test_only_researchers_and_managers_of_the_project_read_answers(project: Project, ada: Access) -> None:
    stranger = rows.member(project=rows.project(slug="other"), name="sven", role=Role.MANAGER)
    assert APIClient().get(URL).status_code == 401
    assert client(ada, Scope.READ).get(URL).status_code == 403
    assert client(stranger, Scope.READ).get(URL).status_code == 404
    manager = rows.member(project=project, name="mia", role=Role.MANAGER)
    assert client(manager, Scope.LABEL).get(URL).status_code == 403
    assert client(manager, Scope.READ).get(URL).status_code == 200
    assert client(manager, Scope.READ).post(URL, {}).status_code == 405


def test_an_unknown_state_is_refused(remy: APIClient) -> None:
    assert remy.get(URL, {"state": "leased"}).status_code == 400


def test_answers_are_in_the_schema(remy: APIClient) -> None:
    schema = remy.get("/api/v1/schema/", HTTP_ACCEPT="application/vnd.oai.openapi+json").json()
    shape = schema["components"]["schemas"]["GivenAnswer"]["properties"]
    assert "/api/v1/projects/{project}/answers" in schema["paths"]
    assert {"answer", "completion_ids", "protocol_revision", "guideline_revision", "active_s"} <= set(shape)


def test_the_answer_of_a_submission_is_read_only_by_its_project(project: Project, ada: Access) -> None:
    other = rows.project(slug="other")
    rows.task(project=project)
    submissions.submit(
        access=ada, assignment_id=lease(ada).pk, now=NOW,
        answer=submissions.Answer(submission_id=rows.new_id(), text="Dear you"),
    )  # fmt: skip
    boss = rows.member(project=other, name="mia", role=Role.MANAGER)
    assert client(boss, Scope.READ).get("/api/v1/projects/other/answers").json()["results"] == []
