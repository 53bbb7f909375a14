"""What a person does with a task that they hold: go on, save a draft, skip. A task that is answered stays as it is."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from types import EllipsisType
from typing import Any, cast

from django.db import transaction
from django.utils.translation import gettext as _

from annotate import drafts, pool, qualifications, sequences
from annotate.models import Assignment, Protocol, Task
from annotate.sequences import Steps
from annotate.slots import retake
from rlhf.access import Access
from rlhf.errors import Refusal
from rlhf.statements import MAX_ID, Joined

State = Assignment.State
ANSWERED = (State.SUBMITTED, State.SURPLUS, State.QUARANTINED, State.ADJUDICATED)
MAX_DRAFT_BYTES = 600_000  # the longest answer and an edit of one, in any script
MAX_REASON = 500


OWN = Joined(
    {"own": Assignment, "task": Task, "protocol": Protocol},
    """
    FROM annotate_assignment own JOIN annotate_task task ON task.id = own.task_id
    JOIN annotate_protocol protocol ON protocol.id = task.protocol_id
    WHERE own.id = %(id)s AND own.labeler_id = %(labeler)s AND task.project_id = %(project)s
    """,
)


class NoSuchAssignment(Refusal):
    status = 404


class NotYoursAnyMore(Refusal):
    """Skipped or submitted already; `extra` carries what is stored."""

    status = 409


class BadDraft(Refusal):
    pass


class BadSkip(Refusal):
    pass


def own_assignment(*, access: Access, assignment_id: int) -> Assignment:
    """The assignment, locked until the transaction ends. Raises NoSuchAssignment, also for somebody else's."""
    found = OWN.rows(
        lock="own", id=min(assignment_id, MAX_ID), labeler=access.user.pk, project=access.project.pk
    )  # fmt: skip
    if not found:
        raise NoSuchAssignment(
            _("no assignment %(number)s of yours in %(project)s")
            % {"number": assignment_id, "project": access.project.slug}
        )
    ((assignment, task, protocol),) = found
    assignment.task, task.protocol = task, protocol
    return cast(Assignment, assignment)


def refuse_finished(assignment: Assignment) -> None:
    """Raises NotYoursAnyMore for an assignment that was submitted or skipped."""
    if assignment.state == State.SKIPPED:
        raise NotYoursAnyMore(_("This task was skipped already."), stored={"state": assignment.state})
    if assignment.state in ANSWERED:
        stored = assignment.submissions.order_by("-revision").first()
        assert stored is not None, f"assignment {assignment.pk} is {assignment.state} without a submission"
        raise NotYoursAnyMore(
            _("This task has an answer of yours already; that one stays."),
            stored={"submission_id": str(stored.submission_id), "answer": stored.body, "state": assignment.state},
        )


def expiry(*, minutes: int, now: datetime) -> datetime:
    return now + timedelta(minutes=minutes)


def renew(*, access: Access, assignment_id: int, now: datetime) -> Assignment:
    """The lease starts again; after a lapse it takes a slot where one is free, and else stays EXPIRED.

    Raises NotYoursAnyMore once it is submitted or skipped.
    """
    with transaction.atomic():
        steps = _steps(access)
        assignment = own_assignment(access=access, assignment_id=assignment_id)
        refuse_finished(assignment)
        return _renewed(assignment, access, now, {}, steps)


def save_draft(
    *,
    access: Access,
    assignment_id: int,
    draft: dict[str, Any],
    now: datetime,
    follows: datetime | EllipsisType | None = ...,
) -> Assignment:
    """Store what the person has so far and renew the lease; after a lapse the draft is kept, with or without a slot.

    A draft that comes late, after a newer one of the same browser, changes nothing. Raises OverwritesNewer
    (annotate/drafts.py), and NotYoursAnyMore once it is submitted or skipped: a draft after its submit loses.
    """
    check_storable(draft)
    size = len(json.dumps(draft, ensure_ascii=False).encode())
    if size > MAX_DRAFT_BYTES:
        sizes = {"most": f"{MAX_DRAFT_BYTES:,}", "found": f"{size:,}"}
        raise BadDraft(_("expected a draft of at most %(most)s bytes, found %(found)s") % sizes)
    with transaction.atomic():
        steps = _steps(access)
        assignment = own_assignment(access=access, assignment_id=assignment_id)
        refuse_finished(assignment)
        if drafts.is_late(draft, stored=assignment.draft):
            return assignment
        drafts.refuse_overwriting(assignment, draft, follows=follows)
        return _renewed(assignment, access, now, {"draft": draft, "draft_saved_at": now}, steps)


def _steps(access: Access) -> Steps:
    """Locked before the assignment, as every turn does it."""
    return sequences.lock(project_id=access.project.pk, labeler_id=access.user.pk)


def _renewed(
    assignment: Assignment, access: Access, now: datetime, changes: dict[str, Any], steps: Steps
) -> Assignment:
    if assignment.state == State.EXPIRED:
        if qualifications.standing(access=access).paused is None:
            retake(assignment=assignment, state=State.LEASED)
    elif assignment.state == State.RESERVED:  # a prefetched task that is worked on is on the screen: it was begun
        assignment.state = State.LEASED
        steps.count(assignment.task.protocol_id)
        steps.store()
    assignment.lease_expires_at = expiry(minutes=assignment.task.protocol.lease_minutes, now=now)
    for name, value in changes.items():
        setattr(assignment, name, value)
    assignment.save(update_fields=["state", "lease_expires_at", *changes])
    return assignment


def skip(*, access: Access, assignment_id: int, reason: str, note: str = "") -> None:
    """Give the task back for good: its slot is free at once and it never returns to this person. Twice is once.

    The reason is the name of one that the protocol offers, or the person's own words.
    """
    given = f"{reason.strip()}: {note.strip()}" if note.strip() else reason.strip()
    if not reason.strip() or len(given) > MAX_REASON:
        sizes = {"most": MAX_REASON, "found": len(given)}
        raise BadSkip(_("expected a reason of 1 to %(most)s characters, found %(found)s") % sizes)
    check_storable(given)
    with transaction.atomic():
        assignment = own_assignment(access=access, assignment_id=assignment_id)
        if assignment.state != State.SKIPPED:
            refuse_finished(assignment)
            Assignment.objects.filter(pk=assignment.pk).update(state=State.SKIPPED, slot=None, skip_reason=given)
            if assignment.task.purpose == Task.Purpose.WORK:
                pool.queue_again(task_ids=[assignment.task_id])


def check_storable(value: Any) -> None:
    """Refuse text that PostgreSQL can't hold: NUL characters and halves of surrogate pairs. Raises BadDraft."""
    if isinstance(value, str):
        if "\0" in value:
            raise BadDraft(_("expected text, found a NUL character"))
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise BadDraft(_("expected Unicode text, found half a surrogate pair")) from error
    elif isinstance(value, dict):
        for key, item in value.items():
            check_storable(key)
            check_storable(item)
    elif isinstance(value, list):
        for item in value:
            check_storable(item)
