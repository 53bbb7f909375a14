"""The administration of labeling: tasks closed, demonstrations imported, people watched."""

from __future__ import annotations

import io

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from annotate import assignment as assignments
from annotate import leases, submissions
from annotate.models import Demonstration, Task
from rlhf.access import Access
from rlhf.models import Project
from tests.annotate import rows
from tests.annotate.rows import NOW


@pytest.fixture
def boss(client: Client, db: None) -> Client:
    client.force_login(User.objects.create_superuser("boss"))
    return client


def test_tasks_are_filtered_closed_and_shown_with_their_people(boss: Client, project: Project, ada: Access) -> None:
    open_task, done = rows.ranking_task(project=project, texts=["<b>x</b>", "y"]), rows.task(project=project)
    Task.objects.filter(pk=done.pk).update(state=Task.State.DONE)
    assignments.next_task(access=ada, now=NOW)
    url = reverse("admin:annotate_task_changelist")
    assert boss.get(url, {"state__exact": "open", "kind__exact": "rank"}).context["cl"].result_count == 1
    page = boss.get(reverse("admin:annotate_task_change", args=[open_task.pk])).content.decode()
    assert "&lt;b&gt;x&lt;/b&gt;" in page and "ada" in page

    boss.post(url, {"action": "close_tasks", "_selected_action": [open_task.pk, done.pk]})

    assert dict(Task.objects.values_list("pk", "state")) == {open_task.pk: "closed", done.pk: "done"}


def test_labelers_are_listed_with_what_they_did(boss: Client, project: Project, ada: Access, bo: Access) -> None:
    for _ in range(3):
        rows.task(project=project)
    for seconds in (10.0, 20.0):
        held = assignments.next_task(access=ada, now=NOW)
        assert held is not None
        answer = submissions.Answer(submission_id=rows.new_id(), text="Dear you", active_s=seconds)
        submissions.submit(access=ada, assignment_id=held.pk, answer=answer, now=NOW)
    last = assignments.next_task(access=ada, now=NOW)
    assert last is not None
    leases.skip(access=ada, assignment_id=last.pk, reason="unclear")

    listed = list(boss.get(reverse("admin:annotate_labeler_changelist")).context["cl"].result_list)

    assert [(row.pseudonym, row.num_submitted, row.num_skipped, row.mean_active_s) for row in listed] == [
        (ada.pseudonym, 2, 1, 15.0)
    ]


def test_answers_are_read_only(boss: Client, project: Project) -> None:
    for model in ("task", "assignment", "ranking", "demonstration", "labeler"):
        assert boss.get(reverse(f"admin:annotate_{model}_add")).status_code == 403


def test_demonstrations_come_in_by_file_and_bad_rows_are_named(boss: Client, project: Project) -> None:
    file = io.BytesIO(b'{"prompt": "Greet", "completion": "Hello"}\n{"prompt": "Greet"}\n')
    file.name = "d.jsonl"
    url = reverse("admin:annotate_demonstration_import")
    page = boss.post(url, {"project": project.pk, "file": file}).content.decode()
    assert "1 demonstration added" in page and "line 2" in page
    assert Demonstration.objects.get().text == "Hello"


def test_the_import_page_is_for_staff_who_may_add_demonstrations(client: Client, ada: Access) -> None:
    url = reverse("admin:annotate_demonstration_import")
    assert client.get(url).status_code == 302
    User.objects.filter(pk=ada.user.pk).update(is_staff=True)
    client.force_login(User.objects.get(pk=ada.user.pk))
    assert client.get(url).status_code == 403
