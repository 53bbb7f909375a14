"""What an answer must contain, and that it is stored exactly once.

A retry carries the same submission id and gets the same stored answer back, whatever was lost on the way. An answer
that comes after its lease takes a free slot again; where none is left it is kept as surplus, and does not count.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Case, F, Value, When

from annotate.assignment import ON_LEASE, check_storable, own_assignment, refuse_finished, retake
from annotate.models import Assignment, Demonstration, Protocol, Ranking, Submission, Task
from rlhf import evaluations
from rlhf.access import Access
from rlhf.errors import Refusal
from rlhf.models import MAX_TEXT, Verdict

State = Assignment.State
KEYS = "abcdefghi"  # completions are named by their place on screen


class BadAnswer(Refusal):
    pass


class SubmissionReused(Refusal):
    """The submission id was used for another answer; `extra` carries what is stored under it."""

    status = 409


@dataclass(frozen=True)
class Answer:
    submission_id: uuid.UUID
    text: str | None = None
    ranks: dict[str, int] | None = None
    active_s: float = 0.0


@dataclass(frozen=True)
class Stored:
    """An answer as the database holds it."""

    assignment: int
    submission_id: uuid.UUID
    state: str
    answer: dict[str, Any]
    revision: int
    submitted_at: datetime


def submit(*, access: Access, assignment_id: int, answer: Answer, now: datetime) -> Stored:
    """Store the answer with all that follows from it, in one transaction.

    Raises NoSuchAssignment, BadAnswer, SubmissionReused, or NotYoursAnyMore with the stored answer in `extra`.
    """
    try:
        with transaction.atomic():
            return _submit(access, assignment_id, answer, now)
    except IntegrityError:  # this submission id is stored already, for another task
        stored = _stored_already(access, assignment_id, answer)
        if stored is None:
            raise
        return stored


def _submit(access: Access, assignment_id: int, answer: Answer, now: datetime) -> Stored:
    assignment = own_assignment(access=access, assignment_id=assignment_id)
    if assignment.state in (State.SUBMITTED, State.SURPLUS):
        stored = _stored_already(access, assignment_id, answer)
        if stored is not None:
            return stored
    refuse_finished(assignment)
    body = _checked_body(assignment, answer)
    counts = _count(assignment)
    submission = Submission.objects.create(
        assignment=assignment, project=access.project, labeler=access.user, submission_id=answer.submission_id,
        body=body, body_sha256=_sha256(body), protocol_revision=assignment.task.protocol.revision,
        active_s=answer.active_s, created_at=now,
    )  # fmt: skip
    if answer.text is not None:
        _add_demonstration(submission, assignment.task, answer.text, counts)
    else:
        _add_ranking(submission, assignment, access, counts)
    return _stored(submission, assignment.state)


def _stored_already(access: Access, assignment_id: int, answer: Answer) -> Stored | None:
    submission = (
        Submission.objects.select_related("assignment")
        .filter(labeler=access.user, submission_id=answer.submission_id)
        .first()
    )
    if submission is None:
        return None
    stored = _stored(submission, submission.assignment.state)
    if submission.assignment_id != assignment_id or submission.body_sha256 != _sha256(_body(answer)):
        raise SubmissionReused(
            f"submission {answer.submission_id} holds another answer already; a new answer needs a new id",
            stored={"submission_id": str(stored.submission_id), "answer": stored.answer, "state": stored.state},
        )
    return stored


def _stored(submission: Submission, state: str) -> Stored:
    return Stored(
        submission.assignment_id, submission.submission_id, state, submission.body, submission.revision,
        submission.created_at,
    )  # fmt: skip


def _count(assignment: Assignment) -> bool:
    """Make the assignment SUBMITTED and count it in its task; SURPLUS, and False, where no slot is left."""
    held = Assignment.objects.filter(pk=assignment.pk, state__in=ON_LEASE).update(state=State.SUBMITTED)
    if (held or retake(assignment=assignment, state=State.SUBMITTED)) and _count_in_task(assignment.task):
        assignment.state = State.SUBMITTED
        return True
    assignment.state, assignment.slot = State.SURPLUS, None
    Assignment.objects.filter(pk=assignment.pk).update(state=assignment.state, slot=None)
    return False


def _count_in_task(task: Task) -> bool:
    last = When(num_submitted__gte=F("overlap") - 1, then=Value(Task.State.DONE))
    return bool(
        Task.objects.filter(pk=task.pk, state=Task.State.OPEN).update(
            num_submitted=F("num_submitted") + 1, state=Case(last, default=F("state"))
        )
    )


def _add_demonstration(submission: Submission, task: Task, text: str, counts: bool) -> None:
    assert task.prompt_id is not None
    Demonstration.objects.create(
        project_id=task.project_id, prompt_id=task.prompt_id, submission=submission, text=text, counts=counts
    )


def _add_ranking(submission: Submission, assignment: Assignment, access: Access, counts: bool) -> None:
    task = assignment.task
    assert task.prompt_id is not None
    completion_ids = list(task.task_completions.values_list("completion_id", flat=True))
    by_key = submission.body["ranks"]
    rank_of = {shown: by_key[key] for key, shown in zip(KEYS, assignment.order_shown, strict=False)}
    ranks = [rank_of[completion_id] for completion_id in completion_ids]
    Ranking.objects.create(
        project_id=task.project_id, task=task, prompt_id=task.prompt_id, submission=submission,
        completion_ids=completion_ids, ranks=ranks, counts=counts,
    )  # fmt: skip
    if task.kind == Protocol.Kind.COMPARE and counts:
        _record_verdict(task, assignment, access, completion_ids, ranks)


def _record_verdict(
    task: Task, assignment: Assignment, access: Access, completion_ids: list[int], ranks: list[int]
) -> None:
    candidate, baseline = completion_ids
    assert task.prompt_id is not None
    first = assignment.order_shown[0] == candidate
    verdict = evaluations.NewVerdict(
        prompt_id=task.prompt_id, candidate_completion_id=candidate, baseline_completion_id=baseline,
        score=0.5 if ranks[0] == ranks[1] else float(ranks[0] < ranks[1]), rater=access.pseudonym,
        position=Verdict.Position.CANDIDATE_FIRST if first else Verdict.Position.BASELINE_FIRST,
    )  # fmt: skip
    assert task.evaluation is not None, f"compare task {task.pk} has no evaluation"
    judge = evaluations.people_judge(project=access.project)
    evaluations.record_verdicts(evaluation=task.evaluation, judge=judge, verdicts=[verdict])


def _checked_body(assignment: Assignment, answer: Answer) -> dict[str, Any]:
    """The answer in the form that is stored. Raises BadAnswer that says what the task expects."""
    if assignment.task.kind == Protocol.Kind.DEMONSTRATE:
        _check_text(answer)
    else:
        _check_ranks(answer, KEYS[: len(assignment.order_shown)], assignment.task.protocol.allow_ties)
    return _body(answer)


def _check_text(answer: Answer) -> None:
    if answer.text is None or answer.ranks is not None:
        raise BadAnswer("this task expects a text and no ranks")
    if not answer.text.strip():
        raise BadAnswer("expected a text, found nothing in it")
    if len(answer.text) > MAX_TEXT:
        raise BadAnswer(f"expected at most {MAX_TEXT:,} characters, found {len(answer.text):,}")
    check_storable(answer.text)


def _check_ranks(answer: Answer, keys: str, allow_ties: bool) -> None:
    if answer.ranks is None or answer.text is not None:
        raise BadAnswer("this task expects ranks and no text")
    if sorted(answer.ranks) != list(keys):
        found = ", ".join(sorted(answer.ranks))[:100]
        raise BadAnswer(f"expected a rank for each of {', '.join(keys)}, found ranks for {found or 'none'}")
    given = [answer.ranks[key] for key in keys]
    competition = [1 + sum(other < rank for other in given) for rank in given]
    if given not in (competition, list(dense(answer.ranks).values())):
        raise BadAnswer(f"expected ranks from 1 without gaps (1 2 2 3 or 1 2 2 4), found {sorted(given)}")
    if not allow_ties and len(set(given)) < len(given):
        raise BadAnswer("this task allows no ties: every answer needs a rank of its own")


def dense(ranks: dict[str, int]) -> dict[str, int]:
    """The same order with ranks 1, 2, 3 ... without gaps; equal ranks stay equal."""
    place = {rank: index for index, rank in enumerate(sorted(set(ranks.values())), 1)}
    return {key: place[ranks[key]] for key in sorted(ranks)}


def _body(answer: Answer) -> dict[str, Any]:
    """What a retry must repeat; the seconds are not part of it, a page may go on counting between two tries."""
    return {"text": answer.text} if answer.text is not None else {"ranks": dense(answer.ranks or {})}


def _sha256(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
