"""The dashboard: the overview of the newest frozen evaluation, and what the loop does now."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import conditional_page

from rlhf import alarms, evaluation_snapshots
from rlhf.access import READERS, access
from rlhf.models import Project, Run
from rlhf.views_overview import live, of_snapshot

OF_THE_LOOP = ("loop", "candidate", "ranking", "evaluation")  # purposes of the runs that the next step waits for


def dashboard(request: HttpRequest, project: str) -> HttpResponse:
    here = access(request=request, project=project, roles=READERS)
    context = {
        "here": here,
        "project": here.project,
        **of_snapshot(request, here, evaluation_snapshots.newest(project=here.project)),
        **live(here),
        "promotions": here.project.promotions.select_related("candidate", "baseline").order_by("-id")[:5],
        **_now(here.project),
    }
    return render(request, "rlhf/overview.html", context)


@conditional_page
def now(request: HttpRequest, project: str) -> HttpResponse:
    """What the loop does now: polled, and 304 while nothing changes."""
    here = access(request=request, project=project, roles=READERS)
    return render(request, "rlhf/parts/now.html", {"project": here.project, **_now(here.project)})


def _now(project: Project) -> dict[str, object]:
    active = project.runs.filter(state__in=(Run.State.RUNNING, Run.State.QUEUED)).order_by("state", "id")
    return {
        "active_runs": sorted(active[:10], key=lambda run: (run.state != Run.State.RUNNING, run.pk)),
        "failed_runs": project.runs.filter(state=Run.State.FAILED, purpose__in=OF_THE_LOOP).order_by("-id")[:3],
        "alarms": alarms.of_round(project=project),
        "last_run": project.runs.exclude(state__in=(Run.State.RUNNING, Run.State.QUEUED)).order_by("-ended_at").first(),
        "current": project.versions.filter(is_current=True).first(),
    }
