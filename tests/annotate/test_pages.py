"""The labeling page: who may open it, and that it reads without script."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest
from django.contrib.staticfiles import finders
from django.test import Client

from annotate import pauses
from annotate.models import Assignment
from rlhf.access import Access
from rlhf.models import Project, Role
from tests.annotate import rows

URL = "/p/letters/label/"


def test_the_page_holds_the_task_before_any_script_runs(client: Client, project: Project, ada: Access) -> None:
    rows.ranking_task(project=project, texts=["**good**", "<script>alert(1)</script>"])
    client.force_login(ada.user)
    page = client.get(URL).content.decode()
    assert "<strong>good</strong>" in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page and "<script>alert(1)" not in page
    assert Assignment.objects.get().labeler == ada.user


def test_a_hostile_draft_cannot_leave_the_data_of_the_page(client: Client, project: Project, ada: Access) -> None:
    rows.task(project=project)
    client.force_login(ada.user)
    client.get(URL)
    Assignment.objects.update(draft={"text": "</script><script>alert(1)</script>"})
    assert "<script>alert(1)" not in client.get(URL).content.decode()


def test_an_empty_queue_says_so(client: Client, project: Project, ada: Access) -> None:
    client.force_login(ada.user)
    assert "Nothing to label right now" in client.get(URL).content.decode()


def test_a_paused_person_is_told_so_in_place_of_a_task(client: Client, project: Project, ada: Access) -> None:
    rows.task(project=project)
    pauses.pause(project=project, labeler=ada.user, reason="half of the gold tasks were wrong", now=rows.NOW)
    client.force_login(ada.user)
    answer = client.get(URL)
    assert answer.status_code == 200
    assert "half of the gold tasks were wrong" in answer.content.decode()
    assert not Assignment.objects.exists()


def test_the_scripts_of_the_page_weigh_less_than_100_kb(client: Client, project: Project, ada: Access) -> None:
    client.force_login(ada.user)
    page = client.get(URL).content.decode()
    named = {name for name in re.findall(r'<script[^>]* src="/static/([^"?]+)', page) if name != "labeling.js"}
    own = [Path("static/labeling.js"), *Path("static/labeling").glob("*.js")]
    paths = [*own, *(Path(str(finders.find(name))) for name in named)]
    assert {"Sortable.min.js", "diff.min.js"} <= {path.name for path in paths}
    assert sum(len(gzip.compress(path.read_bytes())) for path in paths) < 100_000


def test_signed_out_people_are_sent_to_the_sign_in_page(client: Client, project: Project) -> None:
    answer = client.get(URL)
    assert answer.status_code == 302 and answer.headers["Location"].startswith("/login")


@pytest.mark.parametrize(("role", "status"), [(Role.RESEARCHER, 403), (Role.MANAGER, 200)])
def test_the_role_decides(client: Client, project: Project, role: str, status: int) -> None:
    client.force_login(rows.member(project=project, name="someone", role=role).user)
    assert client.get(URL).status_code == status


def test_another_project_is_not_there(client: Client, project: Project) -> None:
    client.force_login(rows.member(project=rows.project(slug="other"), name="sven").user)
    assert client.get(URL).status_code == 404
