"""The labeling page: the person's task as HTML that reads without script; static/labeling.js adds keys and sending."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_GET

from annotate.api import next_json
from rlhf.access import LABELERS, access
from rlhf.models import Scope


@require_GET
@login_required
@never_cache  # a page out of the back button's cache would show a task that was answered
@ensure_csrf_cookie
def label(request: HttpRequest, project: str) -> HttpResponse:
    """Context: project, role, task (as the labeling API shows it, or None) and progress."""
    who = access(request=request, project=project, roles=LABELERS, scope=Scope.LABEL)
    shown = next_json(access=who, now=timezone.now())
    context = {"project": who.project, "role": who.role, "task": shown["next"], "progress": shown["progress"]}
    return render(request, "annotate/label.html", context)
