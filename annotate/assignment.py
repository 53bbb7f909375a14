"""Who labels what next: a person's own lease first, then the task that was prefetched for them, then a new one.

Nobody is told that nothing is left while a task that they may have has a free slot, or one that is only reserved in
advance for somebody else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from django.db import transaction
from django.db.models import Count, F, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from annotate import offers, pool, qualifications, sequences, slots
from annotate.leases import expiry
from annotate.models import Assignment, Task
from annotate.offers import Held, Person
from annotate.qualifications import Standing
from rlhf.access import Access
from rlhf.statements import rows

State = Assignment.State
MAX_OPEN_SHOWN = 1_000  # counting further would cost more than anybody learns from it
PROGRESS = """
    SELECT (
        SELECT COUNT(*) FROM annotate_submission
        WHERE project_id = %(project)s AND labeler_id = %(labeler)s AND created_at >= %(today)s AND revision = 1
    ), (
        SELECT COUNT(*) FROM (
            SELECT 1 FROM annotate_task
            WHERE project_id = %(project)s AND state = 'open' AND purpose = 'work' LIMIT %(limit)s
        ) shown
    )
"""
HELD = """
    SELECT held.id, held.state, held.task_id, task.purpose, task.protocol_id, protocol.lease_minutes
    FROM annotate_assignment held JOIN annotate_task task ON task.id = held.task_id
    JOIN annotate_protocol protocol ON protocol.id = task.protocol_id
    WHERE held.labeler_id = %(labeler)s AND held.state IN ('reserved', 'leased')
    AND task.project_id = %(project)s AND task.state = 'open' ORDER BY held.id
"""


@dataclass(frozen=True)
class Progress:
    done_today: int
    open: int


@dataclass(frozen=True)
class Turn:
    """What a person gets: a task to show, or the word that the prefetched one is theirs; and one more in advance."""

    next: Assignment | None
    confirmed: int | None = None
    prefetched: Assignment | None = None


NOTHING = Turn(next=None)


def next_task(*, access: Access, now: datetime, holds: int | None = None) -> Assignment | None:
    """The person's next task, leased to them; None when nothing is left for them. Raises qualifications.Paused."""
    turn = next_turn(access=access, now=now, holds=holds)
    return _load(turn.confirmed) if turn.confirmed is not None else turn.next


def next_turn(*, access: Access, now: datetime, holds: int | None = None) -> Turn:
    """As next_task; where the task that the page `holds` already is the one, only its id, as `confirmed`."""
    slots.release_lapsed(now=now, except_of=access.user.pk)
    with transaction.atomic():
        person = _person(access, now)
        turn = _next(person, holds)
        person.steps.store()
    return turn if turn is not NOTHING else Turn(next=_last_resort(person))


def next_turn_and_prefetch(*, access: Access, now: datetime, holds: int | None = None) -> Turn:
    """As next_turn, with one more task reserved in advance: all that one request of a page needs."""
    slots.release_lapsed(now=now, except_of=access.user.pk)
    with transaction.atomic():
        person = _person(access, now)
        turn = _next(person, holds)
        if turn.confirmed is not None:
            turn = replace(turn, prefetched=_reserve(person))
        person.steps.store()
    if turn is NOTHING:
        return Turn(next=_last_resort(person))
    # Two new rows in one transaction could wait in a circle for those of somebody who takes the same two.
    return turn if turn.confirmed is not None else replace(turn, prefetched=_prefetch(access, now))


def prefetch(*, access: Access, now: datetime) -> Assignment | None:
    """A task RESERVED for the person's next turn, for a minute; asking again renews it.

    One that nobody comes for goes back to the pool and was never seen.
    """
    slots.release_lapsed(now=now, except_of=access.user.pk)
    return _prefetch(access, now)


def progress(*, access: Access, now: datetime) -> Progress:
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    (counts,) = rows(PROGRESS, project=access.project.pk, labeler=access.user.pk, today=today, limit=MAX_OPEN_SHOWN)
    return Progress(*counts)


def _prefetch(access: Access, now: datetime) -> Assignment | None:
    with transaction.atomic():
        person = _person(access, now)
        assignment = _reserve(person)
        person.steps.store()
    return assignment


def _person(access: Access, now: datetime) -> Person:
    """With what they hold; what they may not have any more goes back. Raises qualifications.Paused.

    Whether they are paused is read under the lock that a pause takes, too: it comes before this turn or after it.
    """
    steps = sequences.lock(project_id=access.project.pk, labeler_id=access.user.pk)
    standing = qualifications.standing(access=access)
    qualifications.refuse_paused(standing)
    person = Person(access, now, standing, steps, [])
    for row in rows(HELD, project=access.project.pk, labeler=access.user.pk):
        held = Held(*row)
        if _may_have(standing, purpose=held.purpose, protocol_id=held.protocol_id):
            person.held.append(held)
        else:
            slots.give_back(assignment_id=held.assignment_id, task_id=held.task_id)
    return person


def _may_have(standing: Standing, *, purpose: str, protocol_id: int) -> bool:
    if purpose == Task.Purpose.QUALIFICATION:
        return protocol_id in standing.qualifying
    return protocol_id in standing.may_work


def _next(person: Person, holds: int | None) -> Turn:
    own = _own(person, holds)
    if own is not None:
        return Turn(next=None, confirmed=own) if own == holds else Turn(next=_load(own))
    found = _lapsed(person) or offers.new_task(person=person, state=State.LEASED)
    return Turn(next=found) if found is not None else NOTHING


def _own(person: Person, holds: int | None) -> int | None:
    """The id of what the person holds, leased from now on; None where somebody took the reservation over."""
    own = sorted(person.held, key=lambda held: (held.state == State.LEASED, held.assignment_id == holds), reverse=True)
    for held in own:
        until = expiry(minutes=held.lease_minutes, now=person.now)
        if slots.lease(assignment_id=held.assignment_id, state=held.state, until=until):
            if held.state == State.RESERVED:
                person.steps.count(held.protocol_id)
                person.held[person.held.index(held)] = replace(held, state=State.LEASED)
            return held.assignment_id
    return None


def _lapsed(person: Person) -> Assignment | None:
    """What the person began and let lapse, draft and all, while a slot is free."""
    for _ in range(offers.MAX_ROUNDS):
        row = _with_a_free_slot(_expired(person)).order_by("-lease_expires_at", "-pk").first()
        if row is None:
            return None
        own = _load(row.pk)
        if slots.retake(assignment=own, state=State.LEASED):
            _lease_again(own, person)
            return own
    return None


def _expired(person: Person) -> QuerySet[Assignment]:
    standing = person.standing
    return Assignment.objects.filter(
        Q(task__purpose=Task.Purpose.QUALIFICATION, task__protocol__in=standing.qualifying)
        | (~Q(task__purpose=Task.Purpose.QUALIFICATION) & Q(task__protocol__in=standing.may_work)),
        labeler=person.access.user, state=State.EXPIRED, task__project=person.access.project,
        task__state=Task.State.OPEN,
    )  # fmt: skip


def _with_a_free_slot(rows: QuerySet[Assignment]) -> QuerySet[Assignment]:
    held = Assignment.objects.filter(task=OuterRef("task"), slot__isnull=False).order_by().values("task")
    num = Coalesce(Subquery(held.annotate(num=Count("pk")).values("num")), 0)
    return rows.annotate(num_held=num).filter(num_held__lt=F("task__overlap"))


def _reserve(person: Person) -> Assignment | None:
    """The person's reservation, renewed, or a new one."""
    for held in person.held:
        if held.state == State.RESERVED:
            mine = Assignment.objects.filter(pk=held.assignment_id, state=State.RESERVED)
            if mine.update(lease_expires_at=person.now + offers.RESERVED):
                return _load(held.assignment_id)
    return offers.new_task(person=person, state=State.RESERVED)


def _last_resort(asked: Person) -> Assignment | None:
    """A task that the person's start has passed, or one that is only reserved for somebody else."""
    access, now, standing = asked.access, asked.now, asked.standing
    for _ in range(offers.MAX_ROUNDS):
        missed = offers.missed(access=access, standing=standing, now=now)
        for task_id in missed:
            pool.queue_again(task_ids=[task_id])
        with transaction.atomic():
            person = _person(access, now)
            own = _next(person, None).next
            found = own or (None if missed else _take_over(person))
            person.steps.store()
        if found is not None or not missed:
            return found
    return None


def _take_over(person: Person) -> Assignment | None:
    """Somebody else's reservation; its row is gone with it, so they never saw the task."""
    may_have = {
        level.protocol_id for level in offers.levels(access=person.access, standing=person.standing, now=person.now)
    }
    for reserved in pool.reservations(project_id=person.access.project.pk, labeler_id=person.access.user.pk):
        if reserved.protocol_id not in may_have or not slots.drop(assignment_id=reserved.assignment_id):
            continue
        if reserved.own_id is not None:
            own = _load(reserved.own_id)
            if slots.retake(assignment=own, state=State.LEASED):
                _lease_again(own, person)
                return own
            continue
        candidate = pool.Candidate(reserved.task_id, 0, reserved.slot)
        found = offers.take(person=person, candidate=candidate, state=State.LEASED)
        if found is not None:
            return found
    return None


def _lease_again(own: Assignment, person: Person) -> None:
    own.lease_expires_at = expiry(minutes=own.task.protocol.lease_minutes, now=person.now)
    own.save(update_fields=["lease_expires_at"])


def _load(assignment_id: int) -> Assignment:
    own = Assignment.objects.get(pk=assignment_id)
    own.task = offers.task_to_show(task_id=own.task_id)
    return own
