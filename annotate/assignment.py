"""Who labels what next: slots, leases, the order shown and drafts.

A task with overlap n has the slots 0 to n - 1, and whoever holds one counts. The constraints (task, slot) and
(task, labeler) let nobody hold a slot twice, in any number of processes. What is read before a reservation only
proposes; the row that the database accepts decides.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Count, Exists, F, OuterRef, Subquery
from django.db.models.functions import Coalesce

from annotate.models import Assignment, Submission, Task
from rlhf.access import Access
from rlhf.errors import Refusal
from rlhf.models import Membership

State = Assignment.State
ON_LEASE = (State.RESERVED, State.LEASED)
ANSWERED = (State.SUBMITTED, State.SURPLUS, State.QUARANTINED, State.ADJUDICATED)
WINDOW = 32  # candidates looked at together; people start at different ones, so that few meet at the same row
MAX_UNFINISHED = 5  # of a person's lapsed tasks, the latest are tried again
MAX_DRAFT_BYTES = 200_000
MAX_OPEN_SHOWN = 1_000  # counting further would cost more than anybody learns from it
MAX_ROUNDS = 100  # a round without success means that others took all candidates: they got on


class NoSuchAssignment(Refusal):
    status = 404


class NotYoursAnyMore(Refusal):
    """Skipped or submitted already; `extra` carries what is stored."""

    status = 409


class BadDraft(Refusal):
    pass


class BadSkip(Refusal):
    pass


@dataclass(frozen=True)
class Progress:
    done_today: int
    open: int


def next_task(*, access: Access, now: datetime) -> Assignment | None:
    """The person's own lease, renewed, or a new one; None when nothing is left for them."""
    with transaction.atomic():
        # A person's own requests queue here: two tabs that ask together get the same task.
        Membership.objects.select_for_update().values_list("pk").get(project=access.project, user=access.user)
        _release_expired(now)
        return _own(access, now) or _reserve(access, now)


def own_assignment(*, access: Access, assignment_id: int) -> Assignment:
    """The assignment, locked until the transaction ends. Raises NoSuchAssignment, also for somebody else's."""
    found = (
        Assignment.objects.select_for_update(of=("self",))
        .select_related("task__protocol")
        .filter(pk=assignment_id, labeler=access.user, task__project=access.project)
        .first()
    )
    if found is None:
        raise NoSuchAssignment(f"no assignment {assignment_id} of yours in {access.project.slug}")
    return found


def save_draft(*, access: Access, assignment_id: int, draft: dict[str, Any], now: datetime) -> Assignment:
    """Store what the person has so far and renew the lease; after a lapse the draft is kept, with or without a slot.

    Raises NotYoursAnyMore once it is submitted or skipped: a draft that comes after its submit loses.
    """
    check_storable(draft)
    size = len(json.dumps(draft, ensure_ascii=False).encode())
    if size > MAX_DRAFT_BYTES:
        raise BadDraft(f"expected a draft of at most {MAX_DRAFT_BYTES:,} bytes, found {size:,}")
    with transaction.atomic():
        assignment = own_assignment(access=access, assignment_id=assignment_id)
        refuse_finished(assignment)
        if assignment.state == State.EXPIRED:
            retake(assignment=assignment, state=State.LEASED)
        assignment.lease_expires_at = _expiry(assignment.task, now)
        Assignment.objects.filter(pk=assignment.pk).update(
            draft=draft, draft_saved_at=now, lease_expires_at=assignment.lease_expires_at
        )
    assignment.draft, assignment.draft_saved_at = draft, now
    return assignment


def skip(*, access: Access, assignment_id: int, reason: str) -> None:
    """Give the task back for good: its slot is free at once and it never returns to this person. Twice is once."""
    if not reason.strip() or len(reason) > 500:
        raise BadSkip(f"expected a reason of 1 to 500 characters, found {len(reason.strip())}")
    check_storable(reason)
    with transaction.atomic():
        assignment = own_assignment(access=access, assignment_id=assignment_id)
        if assignment.state != State.SKIPPED:
            refuse_finished(assignment)
            Assignment.objects.filter(pk=assignment.pk).update(
                state=State.SKIPPED, slot=None, skip_reason=reason.strip()
            )


def progress(*, access: Access, now: datetime) -> Progress:
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    done = Submission.objects.filter(project=access.project, labeler=access.user, created_at__gte=today).count()
    open_tasks = Task.objects.filter(project=access.project, state=Task.State.OPEN).order_by()
    return Progress(done, open_tasks[:MAX_OPEN_SHOWN].count())


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


def refuse_finished(assignment: Assignment) -> None:
    """Raises NotYoursAnyMore for an assignment that was submitted or skipped."""
    if assignment.state in ANSWERED:
        stored = assignment.submissions.order_by("-revision").first()
        assert stored is not None, f"assignment {assignment.pk} is {assignment.state} without a submission"
        raise NotYoursAnyMore(
            "this task was submitted already; what is stored is in `stored`",
            stored={"submission_id": str(stored.submission_id), "answer": stored.body, "state": assignment.state},
        )
    if assignment.state == State.SKIPPED:
        raise NotYoursAnyMore("this task was skipped already", stored={"state": assignment.state})


def order_shown(*, salt: str, task_id: int, labeler_id: int, completion_ids: Iterable[int]) -> list[int]:
    """A shuffle that is the person's own and stays the same: a hash orders the completions, so no version comes first
    more often than another."""

    def key(completion_id: int) -> bytes:
        return hashlib.sha256(f"{salt}:{task_id}:{labeler_id}:{completion_id}".encode()).digest()

    return sorted(completion_ids, key=key)


def check_storable(value: Any) -> None:
    """Refuse text that PostgreSQL can't hold: NUL characters and halves of surrogate pairs. Raises BadDraft."""
    if isinstance(value, str):
        if "\0" in value:
            raise BadDraft("expected text, found a NUL character")
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise BadDraft("expected Unicode text, found half a surrogate pair") from error
    elif isinstance(value, dict):
        for key, item in value.items():
            check_storable(key)
            check_storable(item)
    elif isinstance(value, list):
        for item in value:
            check_storable(item)


def _release_expired(now: datetime) -> None:
    lapsed = Assignment.objects.filter(state__in=ON_LEASE, lease_expires_at__lt=now)
    # Rows that somebody else is releasing, or submitting this moment, are theirs to decide.
    ids = list(lapsed.select_for_update(skip_locked=True).order_by("id").values_list("pk", flat=True)[:100])
    if ids:
        lapsed.filter(pk__in=ids).update(slot=None, state=State.EXPIRED)


def _own(access: Access, now: datetime) -> Assignment | None:
    """What the person holds; else what they began and let lapse, draft and all, while a slot is free."""
    unfinished = Assignment.objects.filter(
        labeler=access.user,
        task__project=access.project,
        task__state=Task.State.OPEN,
        state__in=(*ON_LEASE, State.EXPIRED),
    ).values_list("pk", "state")
    found = list(unfinished.order_by("-lease_expires_at", "-pk")[:MAX_UNFINISHED])
    for assignment_id, state in sorted(found, key=lambda row: row[1] == State.EXPIRED):
        own = Assignment.objects.select_related("task__prompt", "task__protocol").get(pk=assignment_id)
        if state == State.EXPIRED and not retake(assignment=own, state=State.LEASED):
            continue
        own.state, own.lease_expires_at = State.LEASED, _expiry(own.task, now)
        held = Assignment.objects.filter(pk=assignment_id, state__in=ON_LEASE)
        if held.update(state=own.state, lease_expires_at=own.lease_expires_at):
            return own
    return None


def _reserve(access: Access, now: datetime) -> Assignment | None:
    for _ in range(MAX_ROUNDS):
        candidates = _candidates(access)
        if not candidates:
            return None
        for task_id in candidates:
            assignment = _take(task_id, access, now)
            if assignment is not None:
                return assignment
    return None


def _candidates(access: Access) -> list[int]:
    """Ids of open tasks with a free slot that this person has not seen, those of the highest priority first."""
    seen = Assignment.objects.filter(task=OuterRef("pk"), labeler=access.user)
    found = list(
        Task.objects.filter(project=access.project, state=Task.State.OPEN)
        .annotate(num_held=_num_held(OuterRef("pk")))
        .filter(~Exists(seen), num_held__lt=F("overlap"))
        .order_by("-priority", "id")
        .values_list("pk", "priority")[:WINDOW]
    )
    top = [task_id for task_id, priority in found if priority == found[0][1]]
    start = zlib.crc32(str(access.user.pk).encode()) % len(top) if top else 0
    return top[start:] + top[:start] + [task_id for task_id, _ in found[len(top) :]]


def _take(task_id: int, access: Access, now: datetime) -> Assignment | None:
    task = Task.objects.select_related("protocol", "prompt").get(pk=task_id)
    slot = next(iter(_free_slots(task)), None)
    if slot is None:
        return None
    completion_ids = list(task.task_completions.values_list("completion_id", flat=True))
    shown = order_shown(
        salt=access.project.salt, task_id=task.pk, labeler_id=access.user.pk, completion_ids=completion_ids
    )
    try:
        with transaction.atomic():
            return Assignment.objects.create(
                task=task, labeler=access.user, slot=slot, state=State.LEASED, order_shown=shown,
                protocol_revision=task.protocol.revision, lease_expires_at=_expiry(task, now),
            )  # fmt: skip
    except IntegrityError:  # somebody took this slot after we looked
        return None


def _free_slots(task: Task) -> list[int]:
    held = set(Assignment.objects.filter(task=task, slot__isnull=False).values_list("slot", flat=True))
    return [slot for slot in range(task.overlap) if slot not in held]


def _num_held(task_id: OuterRef) -> Coalesce:
    held = Assignment.objects.filter(task=task_id, slot__isnull=False).order_by().values("task")
    return Coalesce(Subquery(held.annotate(num=Count("pk")).values("num")), 0)


def _expiry(task: Task, now: datetime) -> datetime:
    return now + timedelta(minutes=task.protocol.lease_minutes)
