"""The people's part of the dashboard: how far the open batches are. Polled, and 304 while nothing changes."""

from __future__ import annotations

from django.db.models import Count, Max, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import conditional_page

from annotate import batches
from annotate.models import Protocol, Task
from rlhf.access import READERS, access

NEWEST = 3  # batches shown


@conditional_page
def label_progress(request: HttpRequest, project: str) -> HttpResponse:
    here = access(request=request, project=project, roles=READERS)
    wanted = batches.work(project=here.project).exclude(state=Task.State.CLOSED).order_by()
    compared = ("evaluation__candidate__name", "evaluation__baseline__name")
    grouped = wanted.values("batch", "kind", "iteration", *compared).annotate(
        num_tasks=Count("pk"), num_done=Count("pk", filter=Q(state=Task.State.DONE)), newest=Max("pk")
    )
    rows = [{**row, "what": Protocol.Kind(row["kind"]).label} for row in grouped.order_by("-newest")[:NEWEST]]
    return render(request, "rlhf/parts/label_progress.html", {"project": here.project, "here": here, "batches": rows})
