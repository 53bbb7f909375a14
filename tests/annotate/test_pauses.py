"""A pause takes answers out without losing one, and gives back what still has a place. On both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection

from annotate import assignment as assignments
from annotate import batches, leases, pauses, protocols, qualifications, submissions
from annotate.models import Assignment, Demonstration, LabelerProfile, Ranking, Submission, Task
from rlhf import evaluations
from rlhf.access import Access
from rlhf.evaluations import visible_verdicts
from rlhf.models import Project, Verdict
from tests.annotate import rows
from tests.annotate.crowd import answer

State = Assignment.State
NOW, LATER = rows.NOW, rows.NOW + timedelta(minutes=1)


@pytest.fixture
def here(either_database: None) -> tuple[Project, Access, Access]:
    project = rows.project()
    return project, rows.member(project=project, name="ada"), rows.member(project=project, name="bo")


def rank(who: Access, *, ranks: list[int], now=NOW) -> Assignment:
    held = assignments.next_task(access=who, now=now)
    assert held is not None
    answer(who=who, held=held, ranks=ranks, now=now)
    held.refresh_from_db()
    return held


def test_a_pause_quarantines_what_counted_and_opens_the_tasks_for_others(here) -> None:
    project, ada, bo = here
    task = rows.ranking_task(project=project, texts=["x", "y"])
    held = rank(ada, ranks=[1, 2])

    assert pauses.pause(project=project, labeler=ada.user, reason="pace", now=LATER)

    held.refresh_from_db()
    task.refresh_from_db()
    assert (held.state, held.slot) == (State.QUARANTINED, None)
    assert (task.state, task.num_submitted) == (Task.State.OPEN, 0)
    assert not Ranking.objects.get().counts and Submission.objects.count() == 1
    assert rank(bo, ranks=[2, 1], now=LATER).task_id == task.pk
    task.refresh_from_db()
    assert task.state == Task.State.DONE


def test_a_paused_person_gets_nothing_and_keeps_what_was_typed(here) -> None:
    project, ada, bo = here
    rows.task(project=project)
    held = assignments.next_task(access=ada, now=NOW)
    leases.save_draft(access=ada, assignment_id=held.pk, draft={"text": "half a thought"}, now=NOW)

    pauses.pause(project=project, labeler=ada.user, reason="Let us talk first.", now=NOW)

    with pytest.raises(qualifications.Paused) as refused:
        assignments.next_task(access=ada, now=NOW)
    assert refused.value.extra == {"paused": "Let us talk first."} and refused.value.status == 403
    given = submissions.Answer(submission_id=rows.new_id(), text="all of it")
    with pytest.raises(qualifications.Paused):
        submissions.submit(access=ada, assignment_id=held.pk, answer=given, now=NOW)
    assert Assignment.objects.get(pk=held.pk).draft == {"text": "half a thought"}
    assert assignments.next_task(access=bo, now=NOW).task_id == held.task_id


def test_resuming_gives_back_free_slots_and_the_rest_becomes_surplus(here) -> None:
    project, ada, bo = here
    for _ in range(2):
        rows.ranking_task(project=project, texts=["x", "y"])
    first, second = rank(ada, ranks=[1, 2]), rank(ada, ranks=[1, 2])
    pauses.pause(project=project, labeler=ada.user, reason="pace", now=LATER)
    taken = rank(bo, ranks=[2, 1], now=LATER)

    assert pauses.resume(project=project, labeler=ada.user, restore=True, now=LATER)

    states = dict(Assignment.objects.filter(labeler=ada.user).values_list("task_id", "state"))
    free = ({first.task_id, second.task_id} - {taken.task_id}).pop()
    assert states == {taken.task_id: State.SURPLUS, free: State.SUBMITTED}
    assert Ranking.objects.filter(counts=True).count() == 2
    assert list(Task.objects.values_list("state", "num_submitted")) == [(Task.State.DONE, 1)] * 2
    profile = LabelerProfile.objects.get(labeler=ada.user)
    assert (profile.paused_at, profile.checked_from) == (None, LATER)


def test_resuming_without_restoring_leaves_the_answers_out(here) -> None:
    project, ada, _ = here
    rows.ranking_task(project=project, texts=["x", "y"])
    held = rank(ada, ranks=[1, 2])
    pauses.pause(project=project, labeler=ada.user, reason="pace", now=LATER)
    assert pauses.resume(project=project, labeler=ada.user, restore=False, now=LATER)
    held.refresh_from_db()
    assert held.state == State.QUARANTINED
    assert not pauses.resume(project=project, labeler=ada.user, restore=False, now=LATER)  # goes on already


def test_answers_from_before_the_last_check_stay(here) -> None:
    project, ada, _ = here
    for _ in range(2):
        rows.ranking_task(project=project, texts=["x", "y"])
    old = rank(ada, ranks=[1, 2])
    LabelerProfile.objects.filter(labeler=ada.user).update(checked_from=NOW)
    new = rank(ada, ranks=[1, 2], now=LATER)
    pauses.pause(project=project, labeler=ada.user, reason="pace", now=LATER)
    states = dict(Assignment.objects.values_list("pk", "state"))
    assert states == {old.pk: State.SUBMITTED, new.pk: State.QUARANTINED}


def test_pausing_twice_is_pausing_once(here) -> None:
    project, ada, bo = here
    assert pauses.pause(project=project, labeler=ada.user, reason="first", by=bo.user, now=NOW)
    assert not pauses.pause(project=project, labeler=ada.user, reason="second", now=LATER)
    profile = LabelerProfile.objects.get()
    assert (profile.pause_reason, profile.paused_by, profile.paused_at) == ("first", bo.user, NOW)


def test_a_verdict_is_withdrawn_and_only_its_last_revision_comes_back(here) -> None:
    project, ada, _ = here
    old, new = (rows.version(project=project, name=name) for name in ("old", "new"))
    evaluation = evaluations.open_evaluation(project=project, candidate=new, baseline=old, iteration=1)
    prompts = rows.prompts(project=project, num=2)
    for prompt in prompts:
        for version in (old, new):
            rows.completions(prompt=prompt, version=version, texts=[f"{version.name} {prompt.pk}"])
    batches.open_comparisons(evaluation=evaluation, prompts=prompts, batch="c")
    held = rank(ada, ranks=[1, 2])
    keys = {"a": 2, "b": 1}
    revised = submissions.Answer(submission_id=rows.new_id(), ranks=keys, revises=1, active_s=9)
    submissions.submit(access=ada, assignment_id=held.pk, answer=revised, now=LATER)
    assert visible_verdicts().count() == 1 and Verdict.objects.count() == 2
    last = visible_verdicts().get()

    pauses.pause(project=project, labeler=ada.user, reason="pace", now=LATER)
    assert visible_verdicts().count() == 0
    pauses.resume(project=project, labeler=ada.user, restore=True, now=LATER)
    assert visible_verdicts().get() == last
    assert Ranking.objects.get(counts=True).submission.revision == 2


def test_gold_and_another_projects_answers_are_left_alone(here) -> None:
    project, ada, _ = here
    other = rows.project(slug="other")
    elsewhere = rows.member(project=other, name="ada")
    rows.task(project=other)
    held = assignments.next_task(access=elsewhere, now=NOW)
    given = submissions.Answer(submission_id=rows.new_id(), text="there")
    submissions.submit(access=elsewhere, assignment_id=held.pk, answer=given, now=NOW)
    pauses.pause(project=project, labeler=ada.user, reason="pace", now=LATER)
    held.refresh_from_db()
    assert held.state == State.SUBMITTED and Demonstration.objects.get().counts


def test_pauses_and_answers_at_the_same_moment_leave_every_count_true(here) -> None:
    project, ada, bo = here
    protocols.revise(protocol=protocols.protocol(project=project, kind="rank"), overlap=3, auto_pause=False)
    for _ in range(12):
        rows.ranking_task(project=project, texts=["x", "y"], overlap=3)
    cleo = rows.member(project=project, name="cleo")
    for who in (ada, bo):
        for _ in range(12):
            rank(who, ranks=[1, 2])

    def run(action) -> None:
        try:
            action()
        finally:
            connection.close()

    def pause(user: User) -> None:
        pauses.pause(project=project, labeler=user, reason="pace", now=LATER)

    def work() -> None:
        for _ in range(12):
            rank(cleo, ranks=[2, 1], now=LATER)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(run, (lambda: pause(ada.user), lambda: pause(bo.user), work)))
        assert {task.num_submitted for task in Task.objects.all()} == {1}
        list(pool.map(run, [lambda: pauses.resume(project=project, labeler=ada.user, restore=True, now=LATER)] * 2))

    for task in Task.objects.all():
        held = task.assignments.filter(state=State.SUBMITTED)
        assert task.num_submitted == held.count() == 2
        assert sorted(held.values_list("slot", flat=True)) == sorted(set(held.values_list("slot", flat=True)))
    assert Ranking.objects.filter(counts=True).count() == 24
