"""A task reserved in advance: a minute long, never seen unless it was shown, and nobody's loss."""

from __future__ import annotations

from datetime import timedelta

import pytest

from annotate import assignment as assignments
from annotate import leases, slots
from annotate.models import Assignment, Sequence, Task
from rlhf.access import Access
from rlhf.models import Project
from tests.annotate import rows
from tests.annotate.rows import NOW

State = Assignment.State
SOON = NOW + timedelta(seconds=30)
LATER = NOW + timedelta(seconds=61)


@pytest.fixture
def tasks(project: Project) -> list[Task]:
    return [rows.task(project=project) for _ in range(3)]


def begin(who: Access) -> tuple[Assignment, Assignment]:
    """Somebody at work: a task on the screen and one reserved."""
    held = assignments.next_task(access=who, now=NOW)
    reserved = assignments.prefetch(access=who, now=NOW)
    assert held is not None and reserved is not None
    return held, reserved


def test_a_prefetched_task_is_reserved_for_a_minute_and_asking_again_renews_it(tasks: list[Task], ada: Access) -> None:
    _, reserved = begin(ada)
    assert (reserved.state, reserved.lease_expires_at) == (State.RESERVED, NOW + timedelta(seconds=60))
    again = assignments.prefetch(access=ada, now=SOON)
    assert again is not None
    assert (again.pk, again.lease_expires_at) == (reserved.pk, SOON + timedelta(seconds=60))


def test_an_unused_one_goes_back_to_the_pool_and_was_never_seen(tasks: list[Task], ada: Access, bo: Access) -> None:
    _, reserved = begin(ada)
    slots.release_lapsed(now=LATER, except_of=bo.user.pk)
    assert not Assignment.objects.filter(pk=reserved.pk).exists()
    assert Assignment.objects.filter(task=reserved.task_id).count() == 0
    back = [assignments.prefetch(access=ada, now=LATER)]
    assert back[0] is not None  # it may be hers again


def test_what_the_page_holds_is_confirmed_and_needs_no_showing(tasks: list[Task], ada: Access) -> None:
    held, reserved = begin(ada)
    leases.skip(access=ada, assignment_id=held.pk, reason="unclear")
    turn = assignments.next_turn_and_prefetch(access=ada, now=SOON, holds=reserved.pk)
    reserved.refresh_from_db()
    assert (turn.next, turn.confirmed) == (None, reserved.pk)
    assert (reserved.state, reserved.lease_expires_at) == (State.LEASED, SOON + timedelta(minutes=30))
    assert turn.prefetched is not None and turn.prefetched.state == State.RESERVED
    assert len({held.task_id, reserved.task_id, turn.prefetched.task_id}) == 3


def test_a_late_confirmation_holds_as_long_as_nobody_needed_the_task(tasks: list[Task], ada: Access) -> None:
    held, reserved = begin(ada)
    leases.skip(access=ada, assignment_id=held.pk, reason="unclear")
    assert assignments.next_turn(access=ada, now=LATER, holds=reserved.pk).confirmed == reserved.pk


def test_a_page_that_holds_nothing_any_more_is_shown_another_task(tasks: list[Task], ada: Access, bo: Access) -> None:
    held, reserved = begin(ada)
    slots.release_lapsed(now=LATER, except_of=bo.user.pk)
    leases.skip(access=ada, assignment_id=held.pk, reason="unclear")
    turn = assignments.next_turn(access=ada, now=LATER, holds=reserved.pk)
    assert turn.confirmed is None
    assert turn.next is not None and turn.next.state == State.LEASED


def test_somebody_elses_reservation_is_never_confirmed(tasks: list[Task], ada: Access, bo: Access) -> None:
    _, reserved = begin(ada)
    turn = assignments.next_turn(access=bo, now=NOW, holds=reserved.pk)
    assert turn.confirmed is None and turn.next is not None
    assert turn.next.task_id != reserved.task_id


def test_a_reload_shows_the_task_that_is_on_lease_and_keeps_the_reservation(tasks: list[Task], ada: Access) -> None:
    held, reserved = begin(ada)
    turn = assignments.next_turn(access=ada, now=SOON, holds=reserved.pk)
    assert turn.next is not None and turn.next.pk == held.pk
    reserved.refresh_from_db()
    assert reserved.state == State.RESERVED


def test_a_reservation_is_taken_over_when_nothing_else_is_free(project: Project, ada: Access, bo: Access) -> None:
    for _ in range(2):
        rows.task(project=project)
    held, reserved = begin(ada)
    taken = assignments.next_task(access=bo, now=SOON)
    assert taken is not None
    assert (taken.task_id, taken.state, taken.labeler_id) == (reserved.task_id, State.LEASED, bo.user.pk)
    assert not Assignment.objects.filter(pk=reserved.pk).exists()
    leases.skip(access=ada, assignment_id=held.pk, reason="unclear")
    assert assignments.next_turn(access=ada, now=SOON, holds=reserved.pk) == assignments.NOTHING


def test_while_something_is_free_a_reservation_is_left_alone(tasks: list[Task], ada: Access, bo: Access) -> None:
    begin(ada)
    assert assignments.next_task(access=bo, now=SOON) is not None
    assert Assignment.objects.filter(state=State.RESERVED).count() == 1


def test_a_prefetch_takes_nothing_over(project: Project, ada: Access, bo: Access) -> None:
    for _ in range(2):
        rows.task(project=project)
    begin(ada)
    assert assignments.prefetch(access=bo, now=SOON) is None


def test_what_a_person_let_lapse_comes_back_by_taking_a_reservation_over(
    project: Project, ada: Access, bo: Access
) -> None:
    """Ada's lease lapsed, Bo prefetched the task meanwhile, and there is nothing else."""
    task = rows.task(project=project)
    own = assignments.next_task(access=ada, now=NOW)
    assert own is not None
    leases.save_draft(access=ada, assignment_id=own.pk, draft={"text": "Dear"}, now=NOW)
    assert assignments.prefetch(access=bo, now=NOW + timedelta(minutes=31)) is not None
    back = assignments.next_task(access=ada, now=NOW + timedelta(minutes=31))
    assert back is not None
    assert (back.pk, back.task_id, back.slot, back.draft) == (own.pk, task.pk, 0, {"text": "Dear"})
    assert Assignment.objects.filter(task=task).count() == 1


def test_a_draft_for_a_prefetched_task_means_that_it_is_on_the_screen(tasks: list[Task], ada: Access) -> None:
    _, reserved = begin(ada)
    saved = leases.save_draft(access=ada, assignment_id=reserved.pk, draft={"text": "D"}, now=SOON)
    assert (saved.state, saved.lease_expires_at) == (State.LEASED, SOON + timedelta(minutes=30))


def test_the_active_tab_renews_the_lease_and_a_lapsed_one_takes_a_slot_again(
    project: Project, ada: Access, bo: Access
) -> None:
    rows.task(project=project)
    own = assignments.next_task(access=ada, now=NOW)
    assert own is not None
    renewed = leases.renew(access=ada, assignment_id=own.pk, now=NOW + timedelta(minutes=20))
    assert renewed.lease_expires_at == NOW + timedelta(minutes=50)
    slots.release_lapsed(now=NOW + timedelta(minutes=51), except_of=bo.user.pk)
    own.refresh_from_db()
    assert (own.state, own.slot) == (State.EXPIRED, None)
    again = leases.renew(access=ada, assignment_id=own.pk, now=NOW + timedelta(minutes=51))
    assert (again.state, again.slot) == (State.LEASED, 0)


def test_a_draft_or_a_renewal_begins_a_reserved_task_once_as_its_turn_would(tasks: list[Task], ada: Access) -> None:
    """Gold stands at places of the sequence of tasks begun: one that is not counted would move all that follow."""
    _, reserved = begin(ada)
    leases.save_draft(access=ada, assignment_id=reserved.pk, draft={"text": "Dear"}, now=SOON)
    leases.renew(access=ada, assignment_id=reserved.pk, now=SOON)
    reserved.refresh_from_db()
    (places,) = Sequence.objects.get(labeler=ada.user).places.values()
    assert (reserved.state, places["num"]) == (State.LEASED, 2)
