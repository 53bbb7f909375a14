"""Who decides a dispute, on which page: one more answer beside the originals, by somebody who gave none of them."""

from __future__ import annotations

import uuid
from datetime import timedelta

from django.test import Client

from annotate import adjudication, batches, datasets, pauses, protocols
from annotate.models import Ranking, Submission, Task
from rlhf import evaluations
from rlhf.access import Access
from rlhf.evaluations import visible_verdicts
from rlhf.models import Project, Role
from tests.annotate import rows
from tests.annotate.crowd import give

NOW = rows.NOW


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
