"""The dashboard: who is better, by whom and how surely, and what the loop does now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import conditional_page

from rlhf import alarms, charts
from rlhf.access import READERS, access
from rlhf.evaluations import estimates_by_evaluation
from rlhf.headline import headline
from rlhf.models import Estimate, Evaluation, ModelVersion, Project, Run

OF_THE_LOOP = ("loop", "candidate", "ranking", "evaluation")  # purposes of the runs that the next step waits for
MATRIX_VERSIONS = 12  # the newest ones; more do not fit on a page


def dashboard(request: HttpRequest, project: str) -> HttpResponse:
    here = access(request=request, project=project, roles=READERS)
    evaluations = list(
        Evaluation.objects.filter(project=here.project).select_related("candidate", "baseline").order_by("id")
    )
    estimates = estimates_by_evaluation(evaluations=evaluations)
    points = charts.timeline(project=here.project, evaluations=evaluations, estimates=estimates)
    context = {
        "here": here,
        "project": here.project,
        "headline": headline(
            evaluation=(newest := _newest(evaluations)), estimates=estimates[newest.pk] if newest else ()
        ),
        "points": points,
        "chart": [asdict(point) for point in points],
        "panels": [
            (name, [point for point in points if point.against == name]) for name in (charts.PREVIOUS, charts.FIRST)
        ],
        **_matrix(here.project, evaluations, estimates, request.GET.get("judge", "")),
        "promotions": here.project.promotions.select_related("candidate", "baseline").order_by("-id")[:5],
        **_now(here.project),
    }
    return render(request, "rlhf/dashboard.html", context)


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


def _newest(evaluations: list[Evaluation]) -> Evaluation | None:
    numbered = [row for row in evaluations if row.candidate.number is not None]
    return max(numbered, key=lambda row: (row.candidate.number or 0, row.baseline.number or 0), default=None)


def _matrix(
    project: Project, evaluations: list[Evaluation], estimates: Mapping[int, Sequence[Estimate]], asked: str
) -> dict[str, object]:
    rows = [
        estimate for evaluation in evaluations for estimate in charts.newest_by_kind(estimates=estimates[evaluation.pk])
    ]
    kinds = {kind: label for kind, label in charts.KINDS.items() if any(row.judge.kind == kind for row in rows)}
    kind = asked if asked in kinds else next(iter(kinds), "")
    versions = list(
        ModelVersion.objects.filter(project=project, number__isnull=False).order_by("-number")[:MATRIX_VERSIONS]
    )
    versions.reverse()
    return {
        "judge_kinds": kinds,
        "judge_kind": kind,
        "judge_label": kinds.get(kind, ""),
        "matrix_versions": versions,
        "matrix": charts.matrix(
            project=project, versions=versions, evaluations=evaluations, estimates=estimates, judge_kind=kind
        ),
    }
