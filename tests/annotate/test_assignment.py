"""Slots, leases, the order shown and drafts: each promise of annotate/assignment.py."""

from __future__ import annotations

from datetime import timedelta

import pytest

from annotate import assignment as assignments
from annotate import leases, protocols, submissions
from annotate.models import Assignment, Protocol, Task
from rlhf.access import Access
from rlhf.models import Project
from tests.annotate import rows
from tests.annotate.rows import NOW

State = Assignment.State
LATER = NOW + timedelta(minutes=31)  # after a lease of 30 minutes


def lease(who: Access, now=NOW) -> Assignment:
    held = assignments.next_task(access=who, now=now)
    assert held is not None
    return held


def submit(who: Access, held: Assignment, now=NOW) -> submissions.Stored:
    answer = submissions.Answer(submission_id=rows.new_id(), text="Dear you")
    return submissions.submit(access=who, assignment_id=held.pk, answer=answer, now=now)


def test_a_task_goes_to_as_many_people_as_its_overlap_in_slots_from_zero(project: Project) -> None:
    task = rows.task(project=project, overlap=2)
    people = [rows.member(project=project, name=name) for name in ("a", "b", "c")]

    held = [assignments.next_task(access=who, now=NOW) for who in people]

    assert [(one.task_id, one.slot) for one in held if one] == [(task.pk, 0), (task.pk, 1)]
    assert held[2] is None


def test_asking_again_returns_the_same_task_with_a_renewed_lease(project: Project, ada: Access) -> None:
    for _ in range(3):
        rows.task(project=project)
    first = lease(ada)
    second = lease(ada, NOW + timedelta(minutes=10))
    assert first.pk == second.pk
    assert second.lease_expires_at == NOW + timedelta(minutes=40)
    assert Assignment.objects.count() == 1


def test_higher_priority_comes_first(project: Project, ada: Access) -> None:
    rows.task(project=project)
    urgent = rows.task(project=project, priority=5)
    assert lease(ada).task_id == urgent.pk


def test_every_open_task_is_reached_in_the_end(project: Project, ada: Access) -> None:
    asked = protocols.protocol(project=project, kind=Protocol.Kind.DEMONSTRATE)
    protocols.revise(protocol=asked, auto_pause=False)  # all answers come at the same moment
    tasks = {rows.task(project=project).pk for _ in range(40)}
    done = set()
    while (held := assignments.next_task(access=ada, now=NOW)) is not None:
        submit(ada, held)
        done.add(held.task_id)
    assert done == tasks
    assert set(Task.objects.values_list("state", flat=True)) == {Task.State.DONE}


def test_a_lapsed_lease_frees_the_slot_for_somebody_else(project: Project, ada: Access, bo: Access) -> None:
    rows.task(project=project)
    own = lease(ada)
    assert assignments.next_task(access=bo, now=NOW) is None
    taken = lease(bo, LATER)
    own.refresh_from_db()
    assert (taken.slot, own.slot, own.state) == (0, None, State.EXPIRED)


def test_a_lapsed_task_comes_back_to_its_person_with_the_draft(project: Project, ada: Access, bo: Access) -> None:
    for _ in range(5):
        rows.task(project=project)
    own, others = lease(ada), lease(bo)
    leases.save_draft(access=ada, assignment_id=own.pk, draft={"text": "Dear"}, now=NOW)
    assert lease(bo, LATER) == others  # whose request releases what has lapsed
    own.refresh_from_db()
    assert own.state == State.EXPIRED
    back = lease(ada, LATER)
    assert (back.pk, back.draft, back.state) == (own.pk, {"text": "Dear"}, State.LEASED)


def test_a_draft_after_a_lapse_takes_a_free_slot_again(project: Project, ada: Access, bo: Access) -> None:
    rows.task(project=project)
    own = lease(ada)
    Assignment.objects.filter(pk=own.pk).update(state=State.EXPIRED, slot=None)
    saved = leases.save_draft(access=ada, assignment_id=own.pk, draft={"text": "x"}, now=LATER)
    assert (saved.state, saved.slot) == (State.LEASED, 0)


def test_a_draft_after_a_lapse_is_kept_even_where_no_slot_is_left(project: Project, ada: Access, bo: Access) -> None:
    rows.task(project=project)
    own = lease(ada)
    lease(bo, LATER)
    saved = leases.save_draft(access=ada, assignment_id=own.pk, draft={"text": "long text"}, now=LATER)
    own.refresh_from_db()
    assert (saved.state, own.draft) == (State.EXPIRED, {"text": "long text"})


def test_a_draft_renews_the_lease(project: Project, ada: Access) -> None:
    rows.task(project=project)
    own = lease(ada)
    at = NOW + timedelta(minutes=20)
    saved = leases.save_draft(access=ada, assignment_id=own.pk, draft={}, now=at)
    own.refresh_from_db()
    assert saved.lease_expires_at == own.lease_expires_at == at + timedelta(minutes=30)


def test_a_draft_that_comes_after_its_submit_loses(project: Project, ada: Access) -> None:
    rows.task(project=project)
    own = lease(ada)
    submit(ada, own)
    with pytest.raises(leases.NotYoursAnyMore) as refused:
        leases.save_draft(access=ada, assignment_id=own.pk, draft={"text": "late"}, now=NOW)
    assert refused.value.extra["stored"]["answer"] == {"text": "Dear you"}
    own.refresh_from_db()
    assert own.draft is None


@pytest.mark.parametrize("draft", [{"text": "x" * leases.MAX_DRAFT_BYTES}, {"a": "\0"}, {"a": ["\ud800"]}])
def test_a_draft_that_cannot_be_stored_is_refused(project: Project, ada: Access, draft: dict) -> None:
    rows.task(project=project)
    with pytest.raises(leases.BadDraft, match="expected"):
        leases.save_draft(access=ada, assignment_id=lease(ada).pk, draft=draft, now=NOW)


def test_a_skipped_task_never_returns_to_that_person_and_is_free_for_others(
    project: Project, ada: Access, bo: Access
) -> None:
    rows.task(project=project)
    own = lease(ada)
    for _ in range(2):  # twice is once
        leases.skip(access=ada, assignment_id=own.pk, reason="I know this person")
    assert assignments.next_task(access=ada, now=LATER) is None
    assert lease(bo).slot == 0


def test_a_skip_needs_a_reason_and_a_submitted_task_cannot_be_skipped(project: Project, ada: Access) -> None:
    rows.task(project=project)
    own = lease(ada)
    with pytest.raises(leases.BadSkip, match="reason"):
        leases.skip(access=ada, assignment_id=own.pk, reason="  ")
    submit(ada, own)
    with pytest.raises(leases.NotYoursAnyMore):
        leases.skip(access=ada, assignment_id=own.pk, reason="too late")


def test_closed_tasks_and_other_projects_tasks_are_not_handed_out(project: Project, ada: Access) -> None:
    Task.objects.filter(pk=rows.task(project=project).pk).update(state=Task.State.CLOSED)
    rows.task(project=rows.project(slug="other"))
    assert assignments.next_task(access=ada, now=NOW) is None


def test_progress_counts_todays_answers_and_open_tasks(project: Project, ada: Access) -> None:
    for _ in range(3):
        rows.task(project=project)
    submit(ada, lease(ada), NOW - timedelta(days=1))
    submit(ada, lease(ada))
    assert assignments.progress(access=ada, now=NOW) == assignments.Progress(done_today=1, open=1)
