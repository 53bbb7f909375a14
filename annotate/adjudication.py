"""Where answers disagree a reviewer decides. The decision is one more answer, outside the overlap; the others stay.

A task waits here when all its answers are in and their disagreement (annotate/disagreements.py) is DISAGREES_FROM or
more: of two answers to a pair any difference, of three rankings of four about a third of the pairs.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _

from annotate import answers, orders, outcomes, protocols
from annotate.answers import KEYS, BadAnswer, Sheet
from annotate.disagreements import RANKED
from annotate.models import Assignment, Ranking, Submission, Task, TaskAuthor
from rlhf.access import Access
from rlhf.errors import Refusal

DISAGREES_FROM = 0.3
State = Assignment.State


class NoSuchTask(Refusal):
    status = 404


class NotYours(Refusal):
    """The reviewer labeled the task, or wrote one of its answers."""

    status = 403


class DecidedAlready(Refusal):
    status = 409


@dataclass(frozen=True)
class Shown:
    """A task as a reviewer sees it: blind, in an order of the reviewer's own."""

    task: Task
    order_shown: list[int]
    sheet: Sheet


def waiting(*, access: Access) -> QuerySet[Task]:
    """Tasks that this reviewer may decide, most disagreeing first."""
    decided = Assignment.objects.filter(task=OuterRef("pk"), state=State.ADJUDICATED)
    return (
        Task.objects.filter(project=access.project, purpose=Task.Purpose.WORK, kind__in=RANKED)
        .filter(state=Task.State.DONE, disagreement__gte=DISAGREES_FROM)
        .exclude(Exists(decided))
        .exclude(Exists(_held(access)))
        .exclude(Exists(TaskAuthor.objects.filter(task=OuterRef("pk"), author=access.user)))
        .order_by("-disagreement", "-pk")
    )


def after(*, tasks: QuerySet[Task], disagreement: float, task_id: int) -> QuerySet[Task]:
    """Those that come behind this place of the queue."""
    return tasks.filter(Q(disagreement__lt=disagreement) | Q(disagreement=disagreement, pk__lt=task_id))


def shown(*, access: Access, task_id: int) -> Shown:
    """Raises NoSuchTask."""
    found = Task.objects.select_related("protocol", "prompt", "evaluation").filter(pk=task_id, project=access.project)
    task = found.first()
    if task is None:
        raise NoSuchTask(f"no task {task_id} in {access.project.slug}")
    completions = list(task.task_completions.select_related("completion"))
    order = orders.order_shown(
        salt=access.project.salt, block_position=task.block_position, slot=task.overlap,
        completion_ids=[row.completion_id for row in completions],
    )  # fmt: skip
    texts = {row.completion_id: row.completion.text for row in completions}
    of_key = {key: texts[pk] for key, pk in zip(KEYS, order, strict=False)}
    questions = protocols.asked(protocol=task.protocol, revision=task.protocol.revision)
    return Shown(task, order, Sheet(questions, "".join(of_key), of_key.__getitem__))


def may_decide(*, access: Access, task: Task) -> bool:
    return waiting(access=access).filter(pk=task.pk).exists()


def decide(
    *, access: Access, task_id: int, submission_id: uuid.UUID, given: Mapping[str, Any], now: datetime
) -> Submission:
    """Store a reviewer's decision. Sent twice, it is stored once.

    Raises NoSuchTask, NotYours, DecidedAlready, or BadAnswer that names the field.
    """
    seen = shown(access=access, task_id=task_id)
    with transaction.atomic():
        Task.objects.select_for_update(no_key=True).get(pk=task_id)  # two reviewers queue here
        before = Submission.objects.filter(assignment__task=task_id, assignment__state=State.ADJUDICATED).first()
        if before is not None and (before.labeler_id, before.submission_id) == (access.user.pk, submission_id):
            return before
        _check_open(access, seen.task, before)
        if Submission.objects.filter(labeler=access.user, submission_id=submission_id).exists():
            raise BadAnswer("submission_id", "expected a new one, found that of another answer")
        body = answers.checked(sheet=seen.sheet, given=given)
        return _store(access, seen, submission_id, body, now)


def _check_open(access: Access, task: Task, before: Submission | None) -> None:
    if before is not None:
        raise DecidedAlready(_("This task was decided already."))
    mine = Task.objects.filter(pk=task.pk)
    wrote = TaskAuthor.objects.filter(task=OuterRef("pk"), author=access.user)
    if mine.filter(Exists(_held(access)) | Exists(wrote)).exists():
        raise NotYours(_("You had a part in this task: somebody else decides it."))
    if not may_decide(access=access, task=task):
        raise DecidedAlready(_("This task does not wait for a decision."))


def _store(access: Access, seen: Shown, submission_id: uuid.UUID, body: answers.Body, now: datetime) -> Submission:
    task = seen.task
    assignment = Assignment.objects.create(
        task=task, labeler=access.user, slot=None, state=State.ADJUDICATED, lease_expires_at=now,
        order_shown=seen.order_shown, protocol_revision=task.protocol.revision,
    )  # fmt: skip
    submission = Submission.objects.create(
        assignment=assignment, project=access.project, labeler=access.user, submission_id=submission_id, body=body,
        body_sha256=hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest(),
        protocol_revision=task.protocol.revision, guideline_revision=task.protocol.guideline_revision, created_at=now,
    )  # fmt: skip
    outcomes.record(access=access, submission=submission, counts=True)
    Ranking.objects.filter(submission=submission).update(is_adjudication=True)
    return submission


def _held(access: Access) -> QuerySet[Assignment]:
    return Assignment.objects.filter(task=OuterRef("pk"), labeler=access.user)
