"""A task as its person sees it, in their language. Blind: no version, no model, no completion id, no purpose.

Written out by hand, because it is served often; the shapes are in annotate/serializers.py.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from django.utils.translation import get_language

from annotate import guidelines, protocols
from annotate.answers import KEYS, Sheet
from annotate.asks import asks_json, skip_reasons_json
from annotate.assignment import Progress
from annotate.models import Assignment, Qualification, Submission, Task
from annotate.questions import LANGUAGE
from annotate.submissions import Stored
from rlhf.render import render
from rlhf.statements import rows

TEXTS = """
    SELECT completion.id, completion.text FROM annotate_taskcompletion shown
    JOIN rlhf_completion completion ON completion.id = shown.completion_id WHERE shown.task_id = %(task)s
"""


def task_json(*, assignment: Assignment, progress: Progress, revised: Submission | None = None) -> dict[str, Any]:
    """TaskSerializer's shape; `revised` is the answer that came back by undo."""
    task = assignment.task
    texts = dict(rows(TEXTS, task=task.pk))
    shown = dict(zip(KEYS, (texts[completion_id] for completion_id in assignment.order_shown), strict=False))
    questions = protocols.asked(protocol=task.protocol, revision=assignment.protocol_revision)
    sheet = Sheet(questions, "".join(shown), shown.__getitem__)
    messages = task.prompt.messages if task.prompt else []
    return {
        "assignment": assignment.pk,
        "task": task.pk,
        "kind": task.kind,
        "prompt": [{**message, "html": render(message["content"])} for message in messages],
        "completions": [{"key": key, "html": render(text), "text": text} for key, text in shown.items()],
        "asks": asks_json(sheet),
        "skip_reasons": skip_reasons_json(sheet),
        "guidelines": _guidelines(assignment, sheet),
        "content_warning": questions.content_warning,
        "qualification": _qualification(assignment) if task.purpose == Task.Purpose.QUALIFICATION else None,
        "draft": revised.body if revised else assignment.draft,
        "draft_saved_at": assignment.draft_saved_at and assignment.draft_saved_at.isoformat(),
        "revises": revised.revision if revised else None,
        "lease_expires_at": assignment.lease_expires_at.isoformat(),
        "progress": progress_json(progress),
    }


def progress_json(progress: Progress) -> dict[str, int]:
    return {"done_today": progress.done_today, "open": progress.open}


def stored_json(stored: Stored) -> dict[str, Any]:
    """What SubmittedSerializer has beside the next task."""
    feedback = stored.feedback
    return {
        "stored": {
            "assignment": stored.assignment,
            "submission_id": str(stored.submission_id),
            "state": stored.state,
            "answer": stored.answer,
            "revision": stored.revision,
            "submitted_at": stored.submitted_at.isoformat(),
        },
        "feedback": feedback and {"right": feedback.right, "html": feedback.html, "expected": feedback.expected},
        "undo_until": stored.undo_until and stored.undo_until.isoformat(),
    }


def _guidelines(assignment: Assignment, sheet: Sheet) -> dict[str, Any]:
    revision = sheet.questions.guideline_revision
    return {
        "html": _rendered(sheet.questions.guidelines_in(get_language() or LANGUAGE)),
        "revision": revision,
        "protocol": assignment.task.protocol_id,
        "must_read": guidelines.must_read(
            protocol=assignment.task.protocol, revision=revision, labeler_id=assignment.labeler_id
        ),
    }


def _qualification(assignment: Assignment) -> dict[str, int]:
    protocol = assignment.task.protocol
    mine = Qualification.objects.filter(protocol=protocol, labeler=assignment.labeler_id)
    num_answered = mine.values_list("num_answered", flat=True).first() or 0
    return {"number": num_answered + 1, "of": protocol.qualification_size}


@lru_cache(maxsize=64)
def _rendered(text: str) -> str:
    """Guidelines are long, few, and shown with every task."""
    return render(text)
