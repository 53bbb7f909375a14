"""Weights of a version as one file: whole ones at once, an adapter's when a worker has merged it into its model."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import conditional_page

from rlhf import deliveries, downloads, runs, versions
from rlhf.access import READERS, access
from rlhf.models import ModelVersion, Run


def weights(request: HttpRequest, project: str, pk: int) -> HttpResponseBase:
    """A tar. Of an adapter the merged weights; `?adapter=1` the adapter as it is; POST asks for the merge."""
    version = _version(request, project, pk)
    if not version.path:
        raise downloads.Gone(f"{version.name} has no weights here: it was taken by name, or is no model of ours")
    is_adapter = versions.is_adapter(version=version)
    if request.method == "POST":
        if is_adapter:
            deliveries.ask(version=version, now=timezone.now())
        return redirect("weights", project=project, pk=pk)
    name = f"{project}-{version.name}"
    if not is_adapter or request.GET.get("adapter") == "1":
        return downloads.folder_response(name=version.path, filename=f"{name}-adapter" if is_adapter else name)
    merged = deliveries.merging(version=version)
    if merged is not None and merged.state == Run.State.SUCCEEDED and request.GET.get("merged") == "1":
        return downloads.folder_response(name=merged.result["path"], filename=name)
    return render(request, "rlhf/weights.html", _context(request, project, version))


@conditional_page
def live(request: HttpRequest, project: str, pk: int) -> HttpResponse:
    """How far the merge is. Says 286 once it has ended, which makes htmx stop asking."""
    context = _context(request, project, _version(request, project, pk))
    answer = render(request, "rlhf/parts/merging.html", context)
    answer.status_code = 200 if context["is_waiting"] else 286
    return answer


def _version(request: HttpRequest, project: str, pk: int) -> ModelVersion:
    here = access(request=request, project=project, roles=READERS)
    return get_object_or_404(ModelVersion.objects.select_related("project"), project=here.project, pk=pk)


def _context(request: HttpRequest, project: str, version: ModelVersion) -> dict[str, Any]:
    run = deliveries.merging(version=version)
    return {
        "here": access(request=request, project=project, roles=READERS),
        "project": version.project,
        "version": version,
        "run": run,
        "is_waiting": run is not None and run.state not in runs.ENDED,
    }
