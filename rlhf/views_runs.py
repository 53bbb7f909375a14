"""Runs: the list, the live page of one, and the two buttons of its manager."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import conditional_page, require_POST

from rlhf import alarms, charts, configurations, lineage, machines, metrics, runs, samples
from rlhf.access import MANAGERS, READERS, access
from rlhf.errors import Refusal
from rlhf.models import Project, Role, Run

PAGE = 50
TABLE_POINTS = 20  # rows of the table beside the curves
VERSIONS = ("policy", "reward_model", "sft", "made_version")
RELATED = (
    *VERSIONS,
    "made_version__report_card",
    "snapshot",
    "demonstrations",
    "made_snapshot",
    "evaluation__candidate",
    "evaluation__baseline",
)


def run_list(request: HttpRequest, project: str) -> HttpResponse:
    here = access(request=request, project=project, roles=READERS)
    return render(request, "rlhf/runs.html", {"here": here, "project": here.project, **_page(request, here.project)})


@conditional_page
def run_list_live(request: HttpRequest, project: str) -> HttpResponse:
    here = access(request=request, project=project, roles=READERS)
    return render(request, "rlhf/parts/run_rows.html", {"project": here.project, **_page(request, here.project)})


def run_page(request: HttpRequest, project: str, pk: int) -> HttpResponse:
    here = access(request=request, project=project, roles=READERS)
    run = get_object_or_404(Run.objects.select_related(*RELATED), project=here.project, pk=pk)
    points = metrics.points(run=run, max_points=TABLE_POINTS)
    context = {
        "here": here,
        "project": here.project,
        "run": run,
        "ended": run.state in runs.ENDED,
        "may_change": here.role == Role.MANAGER,
        "alarms": alarms.of_run(run=run),
        "points": points,
        "names": charts.curve_names(points=points),
        "answers": samples.of_run(run=run),
        "machine": machines.facts(run=run),
        "lineage": lineage.steps(run=run),
        "settings": configurations.settings(run=run),
    }
    return render(request, "rlhf/run.html", context)


@conditional_page
def run_live(request: HttpRequest, project: str, pk: int) -> HttpResponse:
    """The moving part of a run's page. Says 286 at the end, which makes htmx stop asking."""
    here = access(request=request, project=project, roles=READERS)
    run = get_object_or_404(Run.objects.defer("selection"), project=here.project, pk=pk)
    ended = run.state in runs.ENDED
    context = {"project": here.project, "run": run, "ended": ended, "alarms": alarms.of_run(run=run)}
    answer = render(request, "rlhf/parts/run_live.html", context)
    answer.status_code = 286 if ended else 200
    return answer


@conditional_page
def run_samples(request: HttpRequest, project: str, pk: int) -> HttpResponse:
    """What the policy has said at its checkpoints so far. Says 286 at the end, as the moving part does."""
    here = access(request=request, project=project, roles=READERS)
    run = get_object_or_404(Run, project=here.project, pk=pk)
    answer = render(
        request, "rlhf/parts/run_samples.html", {"project": here.project, "answers": samples.of_run(run=run)}
    )
    answer.status_code = 286 if run.state in runs.ENDED else 200
    return answer


@require_POST
def cancel(request: HttpRequest, project: str, pk: int) -> HttpResponse:
    here = access(request=request, project=project, roles=MANAGERS)
    run = get_object_or_404(Run, project=here.project, pk=pk)
    try:
        runs.request_cancel(run=run, now=timezone.now())
    except Refusal as error:
        messages.error(request, error.message)
    return redirect("run", project=project, pk=pk)


@require_POST
def retry(request: HttpRequest, project: str, pk: int) -> HttpResponse:
    here = access(request=request, project=project, roles=MANAGERS)
    run = get_object_or_404(Run, project=here.project, pk=pk)
    try:
        runs.retry(run=run)
    except Refusal as error:
        messages.error(request, error.message)
    return redirect("run", project=project, pk=pk)


def _page(request: HttpRequest, project: Project) -> dict[str, object]:
    """One page of runs, newest first, and the id that the next page starts below."""
    below = request.GET.get("below", "")
    rows = Run.objects.filter(project=project).defer("log", "selection", "configuration", "result")
    if below.isascii() and below.isdigit() and len(below) < 16:
        rows = rows.filter(pk__lt=int(below))
    page = list(rows.select_related("made_version").order_by("-id")[: PAGE + 1])
    return {"runs": page[:PAGE], "next": page[PAGE - 1].pk if len(page) > PAGE else None, "below": below}
