"""Pages about trust: who may open and do what, and that numbers lead to the answers behind them."""

from __future__ import annotations

import uuid

import pytest
from django.test import Client

from annotate import figures, protocols, submissions
from annotate.models import Assignment, LabelerProfile, Qualification, Task
from rlhf.access import Access
from rlhf.models import Project, Role
from tests.annotate import rows

NOW = rows.NOW


def addresses(task: Task, ada: Access) -> dict[str, str]:
    return {
        "labelers": "/p/letters/labelers/",
        "labeler": f"/p/letters/labelers/{ada.user.pk}/",
        "adjudication": "/p/letters/adjudication/",
        "adjudicate": f"/p/letters/adjudication/{task.pk}/",
    }


POSTS = ("pause", "resume", "requalify")


def test_managers_read_every_page_and_nobody_else_does(
    client: Client, project: Project, disputed: Task, ada: Access, boss: Access
) -> None:
    researcher = rows.member(project=project, name="rita", role=Role.RESEARCHER)
    stranger = rows.member(project=rows.project(slug="other"), name="sven", role=Role.MANAGER)
    for url in addresses(disputed, ada).values():
        client.logout()
        assert client.get(url)["Location"].startswith("/login")
        for who, status in ((boss, 200), (ada, 403), (researcher, 403), (stranger, 404)):
            client.force_login(who.user)
            assert client.get(url).status_code == status, (url, who.pseudonym)


def test_only_managers_pause_resume_and_let_try_again(
    client: Client, project: Project, disputed: Task, ada: Access
) -> None:
    stranger = rows.member(project=rows.project(slug="other"), name="sven", role=Role.MANAGER)
    for name in POSTS:
        url = f"/p/letters/labelers/{ada.user.pk}/{name}"
        for who, status in ((ada, 403), (stranger, 404)):
            client.force_login(who.user)
            assert client.post(url, {"reason": "x"}).status_code == status
    assert not LabelerProfile.objects.filter(paused_at__isnull=False).exists()


def test_missing_people_and_tasks_are_missing(client: Client, project: Project, disputed: Task, boss: Access) -> None:
    elsewhere = rows.ranking_task(project=rows.project(slug="other"), texts=["x", "y"])
    client.force_login(boss.user)
    for url in ("labelers/999999/", f"adjudication/{elsewhere.pk}/", "adjudication/999999/"):
        assert client.get(f"/p/letters/{url}").status_code == 404
    assert client.get("/p/letters/labelers/?after=99999999999999999999'").status_code == 200
    assert client.get("/p/letters/adjudication/?after=nan-x").status_code == 200
    assert client.post("/p/letters/labelers/999999/pause", {"reason": "x"}).status_code == 404


def test_a_number_leads_to_the_answers_behind_it(
    client: Client, project: Project, disputed: Task, ada: Access, boss: Access
) -> None:
    client.force_login(boss.user)
    table = client.get("/p/letters/labelers/").content.decode()
    first = f"/p/letters/labelers/{ada.user.pk}/?show=compared"
    assert first in table and "ada of letters" in table and ">0\N{NO-BREAK SPACE}%<" in table  # they agree on no pair
    listed = client.get(first).content.decode()
    assert f"/p/letters/adjudication/{disputed.pk}/" in listed
    empty = client.get(f"/p/letters/labelers/{ada.user.pk}/?show=quarantined").content.decode()
    assert "No answer here." in empty


@pytest.mark.parametrize("show", ["", "gold", "compared", "apart", "first", "fast", "qualification", "surplus", "x"])
def test_every_filter_answers(client: Client, project: Project, disputed: Task, ada: Access, boss: Access, show: str):
    client.force_login(boss.user)
    assert client.get(f"/p/letters/labelers/{ada.user.pk}/", {"show": show, "below": "12x"}).status_code == 200


def test_answers_that_no_figure_counts_are_listed_too(
    client: Client, project: Project, disputed: Task, ada: Access, boss: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of a qualification, and those beyond the newest."""
    monkeypatch.setattr(figures, "NEWEST_OF_ONE", 0)
    client.force_login(boss.user)
    page = client.get(f"/p/letters/labelers/{ada.user.pk}/")
    assert page.status_code == 200 and f"/p/letters/adjudication/{disputed.pk}/" in page.content.decode()


def test_a_manager_pauses_and_lets_go_on_from_the_page(
    client: Client, project: Project, disputed: Task, ada: Access, boss: Access
) -> None:
    client.force_login(boss.user)
    base = f"/p/letters/labelers/{ada.user.pk}/"
    client.post(f"{base}pause", {"reason": "   "})
    assert not LabelerProfile.objects.get(labeler=ada.user).paused_at
    client.post(f"{base}pause", {"reason": "Let us talk."})
    page = client.get(base).content.decode()
    assert "Let us talk." in page and "1 answer is quarantined" in page
    client.force_login(ada.user)
    labeling = client.get("/p/letters/label/").content.decode()
    assert "Your work here is paused" in labeling and "Let us talk." in labeling
    client.force_login(boss.user)
    client.post(f"{base}resume", {"restore": "yes"})
    assert Assignment.objects.get(labeler=ada.user).state == "submitted"
    assert "Pause this person" in client.get(base).content.decode()


def test_who_failed_is_let_try_again_from_the_page(client: Client, project: Project, ada: Access, boss: Access) -> None:
    protocol = protocols.protocol(project=project, kind="rank")
    protocols.revise(protocol=protocol, qualification_size=1)
    Qualification.objects.create(protocol=protocol, labeler=ada.user, state="failed", num_answered=1, decided_at=NOW)
    client.force_login(boss.user)
    base = f"/p/letters/labelers/{ada.user.pk}/"
    refused = client.post(f"{base}requalify", {"protocol": protocol.pk}, follow=True).content.decode()
    assert "there are 0" in refused and "nobody can qualify" in client.get("/p/letters/labelers/").content.decode()
    task = rows.ranking_task(project=project, texts=["x", "y"])
    Task.objects.filter(pk=task.pk).update(purpose="qualification", expected={"ranks": [1, 2]})
    client.post(f"{base}requalify", {"protocol": protocol.pk})
    assert Qualification.objects.get().state == "in_progress"
    assert client.post(f"{base}requalify", {"protocol": "99"}).status_code == 404


def test_a_person_sees_their_own_work_and_no_gold_nor_ranking(
    client: Client, project: Project, disputed: Task, ada: Access, bo: Access
) -> None:
    client.force_login(ada.user)
    page = client.get("/p/letters/label/me/").content.decode()
    assert "My work" in page and "Too few of your tasks" in page
    assert "Gold" not in page and bo.pseudonym not in page and "bo of" not in page


def test_a_person_declines_tasks_with_a_warning_on_their_page(client: Client, project: Project, ada: Access) -> None:
    protocols.revise(protocol=protocols.protocol(project=project, kind="rank"), content_warning="Violence.")
    client.force_login(ada.user)
    client.post("/p/letters/label/me/", {"declines_warned": "on"})
    assert LabelerProfile.objects.get().declines_warned
    assert "checked" in client.get("/p/letters/label/me/").content.decode()
    client.post("/p/letters/label/me/", {})
    assert not LabelerProfile.objects.get().declines_warned


@pytest.mark.parametrize(("role", "status"), [(Role.RESEARCHER, 403), (Role.MANAGER, 200)])
def test_the_role_decides_about_ones_own_page(client: Client, project: Project, role: str, status: int) -> None:
    assert client.get("/p/letters/label/me/")["Location"].startswith("/login")
    client.force_login(rows.member(project=project, name="somebody", role=role).user)
    assert client.get("/p/letters/label/me/").status_code == status
    client.force_login(rows.member(project=rows.project(slug="other"), name="sven").user)
    assert client.get("/p/letters/label/me/").status_code == 404


def test_an_answer_that_pauses_its_person_is_stored_and_says_so(client: Client, project: Project, ada: Access) -> None:
    for _ in range(12):
        rows.ranking_task(project=project, texts=["many words " * 60, "more words " * 60])
    client.force_login(ada.user)
    task, said = client.post("/api/v1/labeling/letters/next", {}, content_type="application/json").json()["next"], None
    for _ in range(12):
        body = {"submission_id": str(uuid.uuid4()), "ranks": {"a": 1, "b": 2}, "active_s": 100}
        reply = client.post(
            f"/api/v1/labeling/letters/assignments/{task['assignment']}/submit", body, content_type="application/json"
        ).json()
        assert reply["stored"]["answer"] == {"ranks": {"a": 1, "b": 2}}
        said = reply.get("paused")
        if said is not None:
            break
        task = (
            reply["next"]
            or client.post("/api/v1/labeling/letters/next", {}, content_type="application/json").json()["next"]
        )
    assert said == "Many answers came faster than the texts can be read." and reply["next"] is None
    refused = client.post("/api/v1/labeling/letters/next", {}, content_type="application/json")
    assert refused.status_code == 403 and refused.json()["paused"] == said
    assert submissions.Submission.objects.count() in (5, 10)
