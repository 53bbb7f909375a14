"""Pages about trust: who may open and do what, that numbers lead to the answers behind them, and adjudication."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.test import Client

from annotate import adjudication, assignment, batches, datasets, pauses, protocols, submissions
from annotate.models import Assignment, LabelerProfile, Qualification, Ranking, Submission, Task
from rlhf import evaluations
from rlhf.access import Access
from rlhf.evaluations import visible_verdicts
from rlhf.models import Project, Role
from tests.annotate import rows
from tests.annotate.crowd import answer

NOW = rows.NOW


@pytest.fixture
def boss(project: Project) -> Access:
    return rows.member(project=project, name="boss", role=Role.MANAGER)


@pytest.fixture
def disputed(project: Project, ada: Access, bo: Access) -> Task:
    """Two people, two orders."""
    task = rows.ranking_task(project=project, texts=["**bold**", "<script>alert(1)</script>", "plain"], overlap=2)
    for who, wanted in ((ada, [1, 2, 3]), (bo, [3, 2, 1])):
        give(who, wanted)
    task.refresh_from_db()
    return task


def give(who: Access, wanted: list[int]) -> Assignment:
    """`wanted` in the order of the task."""
    held = assignment.next_task(access=who, now=NOW)
    assert held is not None
    in_task = list(held.task.task_completions.order_by("index").values_list("completion_id", flat=True))
    rank_of = dict(zip(in_task, wanted, strict=True))
    answer(who=who, held=held, ranks=[rank_of[pk] for pk in held.order_shown], now=NOW)
    return held


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


def test_the_most_disagreeing_comes_first_and_pages_by_place(project: Project, boss: Access, ada: Access) -> None:
    made = [rows.ranking_task(project=project, texts=["x", "y"], overlap=2) for _ in range(4)]
    for task, apart in zip(made, (0.5, 1.0, 0.2, 0.5), strict=True):
        Task.objects.filter(pk=task.pk).update(disagreement=apart, state="done")
    queue = list(adjudication.waiting(access=boss).values_list("pk", flat=True))
    assert queue == [made[1].pk, made[3].pk, made[0].pk]
    rest = adjudication.after(tasks=adjudication.waiting(access=boss), disagreement=0.5, task_id=made[3].pk)
    assert [task.pk for task in rest] == [made[0].pk]


def test_a_decision_is_one_more_answer_and_the_originals_stay(
    client: Client, project: Project, disputed: Task, boss: Access
) -> None:
    client.force_login(boss.user)
    url = f"/p/letters/adjudication/{disputed.pk}/"
    page = client.get(url).content.decode()
    assert "<strong>bold</strong>" in page and "<script>alert(1)" not in page
    body = {"submission_id": str(uuid.uuid4()), "rank-a": "1", "rank-b": "3", "rank-c": "3"}
    for _ in range(2):  # a double click
        assert client.post(url, body)["Location"] == "/p/letters/adjudication/"

    decision = Ranking.objects.get(is_adjudication=True)
    assert sorted(decision.ranks) == [1, 2, 2] and decision.counts
    assert Ranking.objects.filter(counts=True).count() == 3
    held = decision.submission.assignment
    assert (held.state, held.slot) == ("adjudicated", None)
    disputed.refresh_from_db()
    assert (disputed.state, disputed.num_submitted) == ("done", 2)
    assert not adjudication.waiting(access=boss).exists()
    found = [row["ranking_id"] for row in datasets.ranking_rows(project=project, iteration=0, old_weight=1)]
    assert found == [disputed.pk * 32, disputed.pk * 32 + 1, disputed.pk * 32 + 31]
    body["submission_id"] = str(uuid.uuid4())
    assert client.post(url, body).status_code == 409


def test_a_wrong_decision_names_the_field_keeps_what_was_chosen_and_stores_nothing(
    client: Client, project: Project, disputed: Task, boss: Access
) -> None:
    client.force_login(boss.user)
    body = {"submission_id": str(uuid.uuid4()), "rank-a": "1", "rank-b": "2"}
    refused = client.post(f"/p/letters/adjudication/{disputed.pk}/", body)
    page = refused.content.decode()
    assert refused.status_code == 400 and "ranks: expected" in page and 'name="rank-a" value="1" checked' in page
    mine = Submission.objects.latest("id")
    Submission.objects.filter(pk=mine.pk).update(labeler=boss.user)
    for used in ("x", str(mine.submission_id)):
        bad_id = client.post(f"/p/letters/adjudication/{disputed.pk}/", {**body, "submission_id": used})
        assert bad_id.status_code == 400 and Submission.objects.count() == 2


def test_nobody_decides_a_task_that_they_labeled(client: Client, project: Project, disputed: Task, ada: Access) -> None:
    project.memberships.filter(user=ada.user).update(role=Role.MANAGER)
    client.force_login(ada.user)
    url = f"/p/letters/adjudication/{disputed.pk}/"
    assert "Your decision is one more answer" not in client.get(url).content.decode()
    body = {"submission_id": str(uuid.uuid4()), "rank-a": "1", "rank-b": "2", "rank-c": "3"}
    assert client.post(url, body).status_code == 403
    assert str(disputed.prompt) not in client.get("/p/letters/adjudication/").content.decode()


def test_a_decision_on_a_comparison_is_a_verdict_of_people(project: Project, boss: Access, ada: Access, bo: Access):
    old, new = (rows.version(project=project, name=name) for name in ("old", "new"))
    evaluation = evaluations.open_evaluation(project=project, candidate=new, baseline=old, iteration=1)
    prompts = rows.prompts(project=project, num=1)
    for version in (old, new):
        rows.completions(prompt=prompts[0], version=version, texts=[version.name])
    protocols.revise(protocol=protocols.protocol(project=project, kind="compare"), overlap=2)
    batches.open_comparisons(evaluation=evaluation, prompts=prompts, batch="c")
    give(ada, [1, 2])
    give(bo, [2, 1])
    task = Task.objects.get()
    given = {"ranks": {"a": 1, "b": 2}}
    adjudication.decide(access=boss, task_id=task.pk, submission_id=uuid.uuid4(), given=given, now=NOW)
    assert sorted(visible_verdicts().values_list("rater", flat=True)) == sorted(
        who.pseudonym for who in (ada, bo, boss)
    )


def test_every_part_of_a_rich_protocol_can_be_decided_without_script(
    client: Client, project: Project, boss: Access, ada: Access, bo: Access
) -> None:
    asked = protocols.protocol(project=project, kind="rank")
    protocols.revise(
        protocol=asked, num_completions=2, strength="four", rate_completions=True, ask_pair_safety=True,
        reason_min_characters=5, allow_all_bad=True,
        flags=[{"name": "harm", "labels": {"en": "Harmful"}}], aspects=[{"name": "true", "labels": {"en": "True"}}],
        categories=[{"name": "letter", "labels": {"en": "A letter"}}],
    )  # fmt: skip
    task = rows.ranking_task(project=project, texts=["x", "y"], overlap=2)
    Task.objects.filter(pk=task.pk).update(state="done", disagreement=1.0)
    client.force_login(boss.user)
    url = f"/p/letters/adjudication/{task.pk}/"
    assert "Harmful" in client.get(url).content.decode()
    body = {
        "submission_id": str(uuid.uuid4()), "rank-a": "1", "rank-b": "2", "strength": "3", "safety": "chosen",
        "rating-a": "7", "rating-b": "2", "flag-b": ["harm"], "aspect-true-a": "1", "aspect-true-b": "1",
        "reason": "clearly so", "category": "letter",
    }  # fmt: skip
    assert client.post(url, body).status_code == 302
    stored = Submission.objects.get().body
    assert stored["flags"] == {"a": [], "b": ["harm"]} and stored["aspects"] == {"true": {"a": 1, "b": 1}}
    assert (stored["strength"], stored["safety"], stored["reason"]) == (3, "chosen", "clearly so")


def test_quarantine_takes_a_dispute_out_of_the_queue(project: Project, disputed: Task, ada: Access, boss: Access):
    assert adjudication.waiting(access=boss).exists()
    pauses.pause(project=project, labeler=ada.user, reason="pace", now=NOW + timedelta(minutes=1))
    disputed.refresh_from_db()
    assert disputed.disagreement is None and not adjudication.waiting(access=boss).exists()


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
