"""The labeling page: the person's task as HTML that reads without script; static/labeling.js adds keys and sending."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_GET

from annotate.api import next_json
from annotate.qualifications import Paused
from rlhf.access import LABELERS, Access, access
from rlhf.models import Scope


@require_GET
@login_required
@never_cache  # a page out of the back button's cache would show a task that was answered
@ensure_csrf_cookie
def label(request: HttpRequest, project: str) -> HttpResponse:
    """Context: project, role, task (as the labeling API shows it, or None), progress; why_nothing, paused: in words."""
    who = access(request=request, project=project, roles=LABELERS, scope=Scope.LABEL)
    shown, paused = _task(who)
    context = {"project": who.project, "role": who.role, "paused": paused, "task": shown["next"]}
    said = {"progress": shown["progress"], "why_nothing": shown["why_nothing"]}
    return render(request, "annotate/label.html", {**context, **said})


def _task(who: Access) -> tuple[dict[str, Any], str | None]:
    """What to show, and why the person is paused; a paused person gets a page that says so, not an error."""
    try:
        return next_json(access=who, now=timezone.now()), None
    except Paused as refusal:
        return {"next": None, "progress": None, "why_nothing": ""}, refusal.extra["paused"]
