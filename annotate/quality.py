"""Who can be trusted, while it happens: every answer is looked at as it arrives; some decide about a pause.

`after_answer` runs at the end of a submit, in its transaction, and costs a few small queries.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from annotate import gold, qualifications
from annotate.models import Submission, Task
from rlhf.access import Access
from rlhf.render import render

KEYS = "abcdefghi"  # as submissions.KEYS, which imports this module
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
    """Score a known answer and take the person's qualification a step on. Call it at the end of submit's transaction.

    A revision is scored anew, and is never a second step.
    """
    task = submission.assignment.task
    if task.purpose not in KNOWN:
        return
    score = score_gold(task=task, body=submission.body, order_shown=submission.assignment.order_shown)
    submission.gold_score = score
    Submission.objects.filter(pk=submission.pk).update(gold_score=score)
    if task.purpose == Task.Purpose.QUALIFICATION and submission.revision == 1:
        qualifications.count_answer(
            protocol=task.protocol, labeler=access.user, right=score >= gold.RIGHT_FROM, now=now
        )


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
