"""Answers are stored here: exactly once each, with all that follows from them, or not at all.

A retry carries the same submission id and gets the same stored answer back, whatever was lost on the way. An answer
that comes after its lease takes a free slot again; where none is left it is kept as surplus, and does not count. Within
the window a person may revise an answer: both versions stay, the latest one counts. What an answer must contain is
decided in annotate/answers.py.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from annotate import answers, outcomes, protocols, qualifications, quality
from annotate.answers import KEYS, BadAnswer, Body, Sheet
from annotate.leases import ANSWERED, NotYoursAnyMore, own_assignment, refuse_finished
from annotate.models import Assignment, Submission, Task
from annotate.quality import Feedback
from annotate.slots import retake
from rlhf.access import Access
from rlhf.errors import Refusal
from rlhf.models import Completion
from rlhf.statements import Insert, change, rows

__all__ = ("KEYS", "Answer", "BadAnswer", "NothingToUndo", "Stored", "SubmissionReused", "submit", "undo")

State = Assignment.State
UNDO_MINUTES = 10
SUBMITTED = """
    UPDATE annotate_assignment SET state = 'submitted' WHERE id = %(id)s AND state IN ('reserved', 'leased')
    AND NOT EXISTS (
        SELECT 1 FROM annotate_labelerprofile profile WHERE profile.project_id = %(project)s
        AND profile.labeler_id = annotate_assignment.labeler_id AND profile.paused_at IS NOT NULL
    )
"""
COUNTED = """
    UPDATE annotate_task SET num_submitted = num_submitted + 1,
        state = CASE WHEN num_submitted >= overlap - 1 THEN 'done' ELSE state END
    WHERE id = %(id)s AND state = 'open' RETURNING num_submitted
"""
SUBMISSIONS = Insert(Submission)
REVISABLE = (State.SUBMITTED, State.SURPLUS)


class SubmissionReused(Refusal):
    """The submission id was used for another answer; `extra` carries what is stored under it."""

    status = 409


class NothingToUndo(Refusal):
    status = 409


@dataclass(frozen=True)
class Answer:
    """What arrived. Every part may be anything until annotate/answers.py has looked at it."""

    submission_id: uuid.UUID
    text: Any = None
    category: Any = None
    all_bad: Any = None
    ranks: Any = None
    strength: Any = None
    ratings: Any = None
    flags: Any = None
    safety: Any = None
    aspects: Any = None
    reason: Any = None
    edited: Any = None
    active_s: float = 0.0
    revises: int | None = None  # the revision that this one takes the place of

    @property
    def given(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in answers.CHECKS}


@dataclass(frozen=True)
class Stored:
    """An answer as the database holds it."""

    assignment: int
    submission_id: uuid.UUID
    state: str
    answer: Body
    revision: int
    submitted_at: datetime
    feedback: Feedback | None  # of a qualification task
    undo_until: datetime | None  # None for an answer that stays


def submit(*, access: Access, assignment_id: int, answer: Answer, now: datetime) -> Stored:
    """Store the answer with all that follows from it, in one transaction; then look whether the person may go on.

    Raises NoSuchAssignment, BadAnswer, SubmissionReused, NothingToUndo for a revision that comes too late, or
    NotYoursAnyMore with the stored answer in `extra`.
    """
    try:
        with transaction.atomic():
            submission = _submit(access, assignment_id, answer, now)
    except IntegrityError:  # this submission id is stored already, for another task
        found = _stored_already(access, assignment_id, answer)
        if found is None:
            raise
        submission = found
    stored = _stored(submission)
    quality.look(access=access, submission=submission, now=now)
    return stored


def undo(*, access: Access, now: datetime) -> Submission:
    """The person's last answer, to be revised. Raises NothingToUndo."""
    last = (
        Submission.objects.select_related("assignment__task__prompt", "assignment__task__protocol")
        .filter(project=access.project, labeler=access.user)
        .order_by("-created_at", "-id")
        .first()
    )
    if last is None:
        raise NothingToUndo(_("You have not answered anything here yet."))
    _check_revisable(last, now)
    return last


def _submit(access: Access, assignment_id: int, answer: Answer, now: datetime) -> Submission:
    assignment = own_assignment(access=access, assignment_id=assignment_id)
    last = None
    if assignment.state in ANSWERED:
        last = assignment.submissions.order_by("-revision").first()
        stored = _stored_already(access, assignment_id, answer)
        if stored is not None:
            return stored
    if answer.revises is None:
        refuse_finished(assignment)
    elif last is None:
        raise NothingToUndo(_("This task has no answer of yours yet."))
    else:
        _check_latest(last, answer.revises)
        last.assignment = assignment
        _check_revisable(last, now)
    sheet = _sheet(assignment)
    body = answers.checked(sheet=sheet, given=answer.given)
    counts = _count(access, assignment) if last is None else assignment.state == State.SUBMITTED
    submission: Submission = SUBMISSIONS.create(
        assignment=assignment, project=access.project, labeler=access.user, submission_id=answer.submission_id,
        body=body, body_sha256=_sha256(body), revision=last.revision + 1 if last else 1,
        protocol_revision=assignment.protocol_revision, guideline_revision=sheet.questions.guideline_revision,
        active_s=answer.active_s, created_at=now,
    )  # fmt: skip
    if last is not None:
        outcomes.withdraw(access=access, submission=last, now=now)
    outcomes.record(access=access, submission=submission, counts=counts)
    quality.after_answer(access=access, submission=submission, now=now)
    return submission


def _check_latest(last: Submission, revises: int) -> None:
    if last.revision != revises:
        raise NotYoursAnyMore(
            _("This answer was changed already; what is stored stays."),
            stored={"submission_id": str(last.submission_id), "answer": last.body, "state": last.assignment.state},
        )


def _check_revisable(last: Submission, now: datetime) -> None:
    until = _undo_until(last)
    if until is None:
        raise NothingToUndo(_("This answer stays as it is: it was a training task, or it was set aside."))
    if now > until:
        minutes = {"minutes": UNDO_MINUTES}
        raise NothingToUndo(_("An answer can be changed for %(minutes)s minutes; that time is over.") % minutes)


def _undo_until(submission: Submission) -> datetime | None:
    """After explained feedback, and once it counts no more, an answer is no longer changed."""
    assignment = submission.assignment
    if assignment.task.purpose == Task.Purpose.QUALIFICATION or assignment.state not in REVISABLE:
        return None
    return submission.created_at + timedelta(minutes=UNDO_MINUTES)


def _stored_already(access: Access, assignment_id: int, answer: Answer) -> Submission | None:
    submission = (
        Submission.objects.select_related("assignment__task__protocol")
        .filter(labeler=access.user, submission_id=answer.submission_id)
        .first()
    )
    if submission is None:
        return None
    if submission.assignment_id != assignment_id or not _says(submission, answer):
        raise SubmissionReused(
            f"submission {answer.submission_id} holds another answer already; a new answer needs a new id",
            stored={
                "submission_id": str(submission.submission_id),
                "answer": submission.body,
                "state": submission.assignment.state,
            },
        )
    return submission


def _says(submission: Submission, answer: Answer) -> bool:
    """Whether the answer is what is stored; the seconds are no part of it, a page may count on between two tries."""
    try:
        body = answers.checked(sheet=_sheet(submission.assignment), given=answer.given)
    except BadAnswer:
        return False
    return submission.body_sha256 == _sha256(body)


def _stored(submission: Submission) -> Stored:
    return Stored(
        submission.assignment_id, submission.submission_id, submission.assignment.state, submission.body,
        submission.revision, submission.created_at, quality.feedback(submission=submission), _undo_until(submission),
    )  # fmt: skip


def _sheet(assignment: Assignment) -> Sheet:
    """What the assignment asked when it was handed out."""
    asked = protocols.asked(protocol=assignment.task.protocol, revision=assignment.protocol_revision)
    keys = KEYS[: len(assignment.order_shown)]

    def text_of(key: str) -> str:
        return Completion.objects.values_list("text", flat=True).get(pk=assignment.order_shown[keys.index(key)])

    return Sheet(asked, keys, text_of)


def _count(access: Access, assignment: Assignment) -> bool:
    """Make the assignment SUBMITTED and count it in its task; SURPLUS, and False, where no slot is left. Raises Paused
    for somebody who was paused over it; their draft stays."""
    held = change(SUBMITTED, id=assignment.pk, project=access.project.pk)
    if not held:
        qualifications.refuse_paused(qualifications.standing(access=access))
    if (held or retake(assignment=assignment, state=State.SUBMITTED)) and _count_in_task(assignment.task):
        assignment.state = State.SUBMITTED
        return True
    assignment.state, assignment.slot = State.SURPLUS, None
    Assignment.objects.filter(pk=assignment.pk).update(state=assignment.state, slot=None)
    return False


def _count_in_task(task: Task) -> bool:
    counted = rows(COUNTED, id=task.pk)
    for (task.num_submitted,) in counted:  # with this answer, whoever else answers at this moment
        pass
    return bool(counted)


def _sha256(body: Body) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
