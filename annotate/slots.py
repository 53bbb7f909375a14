"""Slots: whoever holds one of a task's slots counts, and the database lets a slot be held once.

A task with overlap n has the slots 0 to n - 1. What is read before only proposes; the row that the constraints (task,
slot) and (task, labeler) accept decides, in any number of processes.
"""

from __future__ import annotations

import json
from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import Max

from annotate import pool
from annotate.models import Assignment, Task
from rlhf.statements import change, rows

State = Assignment.State
ON_LEASE = (State.RESERVED, State.LEASED)
MAX_LAPSED = 20  # released by one request; the next one goes on

# One statement where the ORM needs a savepoint around the attempt: a slot that somebody took is no error here.
INSERT = """
    INSERT INTO annotate_assignment
        (task_id, labeler_id, slot, state, lease_expires_at, order_shown, protocol_revision, skip_reason, created_at)
    VALUES (%(task)s, %(labeler)s, %(slot)s, %(state)s, %(until)s, %(shown)s, %(revision)s, '', %(now)s)
    ON CONFLICT DO NOTHING RETURNING id
"""
LAPSED = """
    SELECT id, task_id FROM annotate_assignment
    WHERE state IN ('reserved', 'leased') AND lease_expires_at < %(now)s AND labeler_id <> %(labeler)s
    ORDER BY lease_expires_at LIMIT %(limit)s
"""
LEASE = """
    UPDATE annotate_assignment SET state = 'leased', lease_expires_at = %(until)s
    WHERE id = %(id)s AND state = %(state)s
"""


def take(*, assignment: Assignment, now: datetime) -> bool:
    """Store a new assignment with its slot. False where somebody took the slot after we looked."""
    stored = rows(
        INSERT, task=assignment.task_id, labeler=assignment.labeler_id, slot=assignment.slot, state=assignment.state,
        until=assignment.lease_expires_at, shown=json.dumps(assignment.order_shown),
        revision=assignment.protocol_revision, now=now,
    )  # fmt: skip
    for (assignment.pk,) in stored:
        assignment.created_at = now
        assignment._state.adding = False
    return bool(stored)


def lease(*, assignment_id: int, state: str, until: datetime) -> bool:
    """Lease, from now on, what is in this state. False where it is not any more."""
    return bool(change(LEASE, id=assignment_id, state=state, until=until))


def retake(*, assignment: Assignment, state: str) -> bool:
    """Take a slot again for a lapsed assignment, if the task is open and one is free. Call it in a transaction."""
    if not Task.objects.filter(pk=assignment.task_id, state=Task.State.OPEN).exists():
        return False
    for slot in _free_slots(assignment.task):
        try:
            with transaction.atomic():
                mine = Assignment.objects.filter(pk=assignment.pk, state=State.EXPIRED)
                taken = mine.update(slot=slot, state=state)
        except IntegrityError:  # somebody took this slot after we looked
            continue
        if taken:
            assignment.slot, assignment.state = slot, state
        return bool(taken)
    return False


def drop(*, assignment_id: int) -> bool:
    """Delete a reservation that is still one: as if it had never been. False where it is none any more."""
    return bool(change("DELETE FROM annotate_assignment WHERE id = %(id)s AND state = 'reserved'", id=assignment_id))


def release_lapsed(*, now: datetime, except_of: int) -> None:
    """Free the slots of lapsed leases and of reservations that nobody used, but for those of the one who asks.

    Each is a transaction of its own, so that two who release the same rows don't wait for each other in a circle.
    """
    lapsed = Assignment.objects.filter(state__in=ON_LEASE, lease_expires_at__lt=now)
    for assignment_id, task_id in rows(LAPSED, now=now, labeler=except_of, limit=MAX_LAPSED):
        with transaction.atomic():
            # A row that somebody else releases, or submits, this moment is theirs to decide.
            row = lapsed.select_for_update(skip_locked=True).filter(pk=assignment_id).values_list("state").first()
            if row is not None and _release(assignment_id, row[0]):
                pool.queue_again(task_ids=[task_id])


def give_back(*, assignment_id: int, task_id: int) -> None:
    """Release what a person holds and may not keep; a draft stays with the row. Call it in a transaction."""
    if drop(assignment_id=assignment_id) or _release(assignment_id, State.LEASED):
        pool.queue_again(task_ids=[task_id])


def _release(assignment_id: int, state: str) -> bool:
    if state == State.RESERVED:
        return drop(assignment_id=assignment_id)
    held = Assignment.objects.filter(pk=assignment_id, state=State.LEASED)
    return bool(held.update(slot=None, state=State.EXPIRED))


def _free_slots(task: Task) -> list[int]:
    held = Assignment.objects.filter(task=task, slot__isnull=False)
    if task.purpose != Task.Purpose.WORK:  # anybody may have it
        highest = held.aggregate(highest=Max("slot"))["highest"]
        return [0 if highest is None else highest + 1]
    slots = set(held.values_list("slot", flat=True))
    return [slot for slot in range(task.overlap) if slot not in slots]
