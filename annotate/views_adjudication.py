"""Tasks whose answers disagree: the queue, and the page on which a reviewer decides. A plain form; no script."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _

from annotate import adjudication, asks
from annotate.adjudication import Shown
from annotate.answers import KEYS, BadAnswer
from annotate.decision_form import given_by
from annotate.models import Assignment, Submission
from annotate.questions import RATINGS
from rlhf.access import MANAGERS, Access, access
from rlhf.models import Membership

PAGE = 50


def queue(request: HttpRequest, project: str) -> HttpResponse:
    here = access(request=request, project=project, roles=MANAGERS)
    tasks = adjudication.waiting(access=here)
    place = _place(request.GET.get("after", ""))
    if place is not None:
        tasks = adjudication.after(tasks=tasks, disagreement=place[0], task_id=place[1])
    page = list(tasks.select_related("prompt")[: PAGE + 1])
    last = page[PAGE - 1] if len(page) > PAGE else None
    context = {
        "here": here, "project": here.project, "tasks": page[:PAGE], "from": adjudication.DISAGREES_FROM,
        "next": f"{last.disagreement}-{last.pk}" if last else None,
    }  # fmt: skip
    return render(request, "annotate/adjudication.html", context)


def task(request: HttpRequest, project: str, task: int) -> HttpResponse:
    """The answers to any task of the project; with the form where this reviewer may decide it."""
    here = access(request=request, project=project, roles=MANAGERS)
    seen = adjudication.shown(access=here, task_id=task)
    error = None
    if request.method == "POST":
        try:
            adjudication.decide(
                access=here, task_id=task, submission_id=_submission_id(request), now=timezone.now(),
                given=given_by(post=request.POST, sheet=seen.sheet),
            )  # fmt: skip
            messages.success(request, _("Decided. The answers before it stay as they are."))
            return redirect("adjudication", project=project)
        except BadAnswer as refusal:
            error = refusal.message
    return render(
        request, "annotate/adjudicate.html", _context(request, here, seen, error), status=400 if error else 200
    )


def _context(request: HttpRequest, here: Access, seen: Shown, error: str | None) -> dict[str, Any]:
    answers = _answers(here, seen)
    return {
        "here": here, "project": here.project, "task": seen.task, "answers": answers, "error": error,
        "may_decide": adjudication.may_decide(access=here, task=seen.task),
        "completions": [{"key": key, "text": seen.sheet.text_of(key)} for key in seen.sheet.keys],
        "asks": asks.asks_json(seen.sheet), "ranks": range(1, len(seen.sheet.keys) + 1),
        "ratings": RATINGS, "typed": request.POST,
        "submission_id": uuid.uuid4(),  # nothing was stored under one that came with an error
        "has_decision": any(answer["is_decision"] for answer in answers),
    }  # fmt: skip


def _answers(here: Access, seen: Shown) -> list[dict[str, Any]]:
    """Everybody's latest answer, in the keys of this page and not of their own screens."""
    of_key = {pk: key for key, pk in zip(KEYS, seen.order_shown, strict=False)}
    pseudonyms = dict(Membership.objects.filter(project=here.project).values_list("user_id", "pseudonym"))
    rows = Submission.objects.filter(assignment__task=seen.task).select_related("assignment", "ranking")
    latest = {row.assignment_id: row for row in rows.order_by("assignment_id", "revision")}
    return [
        {
            "person": pseudonyms.get(row.labeler_id, _("former member")), "labeler": row.labeler_id, "body": row.body,
            "is_decision": row.assignment.state == Assignment.State.ADJUDICATED, "state": row.assignment.state,
            "state_label": row.assignment.get_state_display(), "ranks": _ranks(row, of_key), "submission": row,
        }
        for row in latest.values()
    ]  # fmt: skip


def _ranks(row: Submission, of_key: dict[int, str]) -> list[int]:
    """In the order of this page; empty for a text."""
    if "ranks" not in row.body:
        return []
    own_keys = dict(zip(row.assignment.order_shown, KEYS, strict=False))
    return [row.body["ranks"][own_keys[pk]] for pk in of_key]


def _submission_id(request: HttpRequest) -> uuid.UUID:
    try:
        return uuid.UUID(request.POST.get("submission_id", ""))
    except ValueError as error:
        raise BadAnswer("submission_id", "expected a UUID, found something else") from error


def _place(after: str) -> tuple[float, int] | None:
    try:
        disagreement, task_id = after.split("-")
        return float(disagreement), int(task_id)
    except ValueError:
        return None
