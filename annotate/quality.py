"""Who can be trusted, while it happens: every answer is looked at as it arrives; some decide about a pause.

`after_answer` runs at the end of a submit, in its transaction; `look` after it, in one of its own, because a pause
locks many tasks, and two of them would wait in a circle for the one that each has just answered.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import F, QuerySet

from annotate import disagreements, evidence, gold, pauses, qualifications, signals
from annotate.answers import KEYS
from annotate.models import LabelerProfile, Submission, Task
from rlhf.access import Access
from rlhf.render import render
from rlhf.statements import rows

STRETCH = """
    SELECT (
        SELECT COUNT(*) FROM annotate_submission given
        WHERE given.project_id = profile.project_id AND given.labeler_id = profile.labeler_id AND given.revision = 1
        AND (profile.checked_from IS NULL OR given.created_at > profile.checked_from)
    ) FROM annotate_labelerprofile profile
    WHERE profile.project_id = %(project)s AND profile.labeler_id = %(labeler)s
"""
KNOWN = (Task.Purpose.GOLD, Task.Purpose.QUALIFICATION)


@dataclass(frozen=True)
class Feedback:
    """What a person hears about a qualification task."""

    right: bool
    html: str  # why the expected answer is right
    expected: dict[str, Any]  # in the keys of the person's screen: {"ranks": {"a": 1, ...}, "flags": {"a": [...]}, ...}


def score_gold(*, task: Task, body: dict[str, Any], order_shown: list[int]) -> float:
    """How much of the task's expected answer the answer agrees with, in [0, 1]."""
    return gold.score(expected=task.expected or {}, body=body, places=_places(task, order_shown))


def after_answer(*, access: Access, submission: Submission, now: datetime) -> None:
    """Score a known answer and take a qualification a step on.

    Call it at the end of submit's transaction. A revision is scored anew, and is never a second step.
    """
    task = submission.assignment.task
    if task.purpose in KNOWN:
        submission.gold_score = score_gold(
            task=task, body=submission.body, order_shown=submission.assignment.order_shown
        )
        Submission.objects.filter(pk=submission.pk).update(gold_score=submission.gold_score)
    elif task.kind in disagreements.RANKED and _has_others(submission):
        disagreements.note(task_ids=[task.pk])
    if submission.revision > 1:
        return
    is_right = submission.gold_score is not None and submission.gold_score >= gold.RIGHT_FROM
    if task.purpose == Task.Purpose.QUALIFICATION:
        qualifications.count_answer(protocol=task.protocol, labeler=access.user, right=is_right, now=now)
        return
    if submission.gold_score is not None:
        LabelerProfile.objects.get_or_create(project=access.project, labeler=access.user)
        _profiles(access).update(num_gold=F("num_gold") + 1, num_gold_right=F("num_gold_right") + int(is_right))


def look(*, access: Access, submission: Submission, now: datetime) -> None:
    """Every few answers, pause the person if those since `checked_from` break a rule; after a stretch begin a new one.

    Call it once the submission is stored; calling it again, as a retry does, is harmless.
    """
    task = submission.assignment.task
    if submission.revision > 1 or task.purpose == Task.Purpose.QUALIFICATION:
        return
    found = rows(STRETCH, project=access.project.pk, labeler=access.user.pk)
    if not found:
        LabelerProfile.objects.get_or_create(project=access.project, labeler=access.user)
        return
    ((num,),) = found
    if not num or num % signals.LOOK_EVERY:
        return
    profile = _profiles(access).get()
    rule = broken_rule(access=access, profile=profile) if task.protocol.auto_pause else None
    if rule is not None:
        pauses.pause(project=access.project, labeler=access.user, reason=rule, now=now)
    elif num >= signals.STRETCH:
        _profiles(access).filter(checked_from=profile.checked_from).update(checked_from=now)


def broken_rule(*, access: Access, profile: LabelerProfile) -> str | None:
    found = evidence.submissions(project=access.project, labeler=access.user, since=profile.checked_from)
    rows = evidence.answers(project=access.project, labeler=access.user, found=found, limit=2 * signals.STRETCH)
    return signals.broken(rows)


def _has_others(submission: Submission) -> bool:
    """Whether other people may have answered the task; somebody may do so while this person revises."""
    task = submission.assignment.task
    return task.num_submitted > 1 or (submission.revision > 1 and task.overlap > 1)


def _profiles(access: Access) -> QuerySet[LabelerProfile]:
    return LabelerProfile.objects.filter(project=access.project, labeler=access.user)


def feedback(*, submission: Submission) -> Feedback | None:
    """None for everything but an answer to a qualification task; the same again for a retry."""
    task = submission.assignment.task
    if task.purpose != Task.Purpose.QUALIFICATION or submission.gold_score is None:
        return None
    expected = dict(task.expected or {})
    places = _places(task, submission.assignment.order_shown)
    for name in ("ranks", "flags"):
        if name in expected:
            expected[name] = dict(sorted(zip(places, expected[name], strict=True)))
    return Feedback(submission.gold_score >= gold.RIGHT_FROM, render(task.explanation), expected)


def _places(task: Task, order_shown: list[int]) -> list[str]:
    """The screen key of each completion, in the order of the task."""
    if not order_shown:
        return []
    key_of = dict(zip(order_shown, KEYS, strict=False))
    return [key_of[pk] for pk in task.task_completions.values_list("completion_id", flat=True)]
