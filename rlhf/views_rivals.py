"""The versions page: what versions there are, and for managers how to bring another one and compare two."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from rlhf import answer_imports, requests, versions
from rlhf.access import MANAGERS, READERS, Access, access
from rlhf.errors import Refusal
from rlhf.models import ModelVersion, Role, Split
from rlhf.rival_forms import AnswersForm, ComparisonForm, EndpointForm

SHOWN = 500
NAMED = 20  # bad rows of a file that the page names


def version_list(request: HttpRequest, project: str) -> HttpResponse:
    here = access(request=request, project=project, roles=READERS)
    return render(request, "rlhf/versions.html", _page(here))


def add_endpoint(request: HttpRequest, project: str) -> HttpResponse:
    here = access(request=request, project=project, roles=MANAGERS)
    form = EndpointForm(request.POST or None)
    if form.is_valid():
        try:
            version = requests.register_rival(project=here.project, body=form.body(), now=timezone.now())
            messages.success(request, f"{version.name} is a version now.")
            return redirect("version", project=project, pk=version.pk)
        except Refusal as error:
            form.add_error(None, error.message)
    return render(request, "rlhf/versions.html", _page(here, endpoint_form=form))


def add_answers(request: HttpRequest, project: str) -> HttpResponse:
    here = access(request=request, project=project, roles=MANAGERS)
    form = AnswersForm(request.POST or None, request.FILES or None)
    bad_rows: list[Any] = []
    if form.is_valid():
        try:
            found = _import(here, form.cleaned_data)
            messages.success(request, f"{found.num_added} answers added, {found.num_duplicates} were there already.")
            return redirect("version", project=project, pk=found.version.pk)
        except Refusal as error:
            form.add_error(None, error.message)
            bad_rows = error.extra.get("bad_rows", [])[:NAMED]
    return render(request, "rlhf/versions.html", _page(here, answers_form=form, bad_rows=bad_rows))


def compare(request: HttpRequest, project: str) -> HttpResponse:
    here = access(request=request, project=project, roles=MANAGERS)
    form = ComparisonForm(request.POST or None, versions=_comparable(here))
    if form.is_valid():
        try:
            found = requests.request(now=timezone.now(), **form.cleaned_data)
            messages.success(request, f"{found}: workers sample what is missing, then every judge is asked.")
            return redirect("evaluation", project=project, pk=found.pk)
        except Refusal as error:
            form.add_error(None, error.message)
    return render(request, "rlhf/versions.html", _page(here, comparison_form=form))


def _import(here: Access, values: dict[str, Any]) -> answer_imports.Imported:
    now = timezone.now()
    found = answer_imports.import_answers(
        project=here.project,
        name=values["name"],
        rows=values["file"],
        split=Split.HELD_OUT if values["held_out"] else None,
        now=now,
    )
    if values["evaluate"]:
        requests.against_current(version=found.version, now=now)
    return found


def _comparable(here: Access) -> Any:
    return ModelVersion.objects.filter(project=here.project, kind__in=requests.COMPARABLE).order_by("-id")


def _page(here: Access, **forms: Any) -> dict[str, Any]:
    found = ModelVersion.objects.filter(project=here.project).select_related("parent", "promotion", "report_card")
    comparable = _comparable(here)
    current = versions.current(project=here.project)
    initial = {"candidate": comparable.exclude(pk=current.pk if current else None).first(), "baseline": current}
    return {
        "here": here,
        "project": here.project,
        "versions": found.defer("report_card__content").order_by("-id")[:SHOWN],
        "may_add": here.role == Role.MANAGER,
        "may_compare": here.role == Role.MANAGER and comparable.count() > 1,
        "endpoint_form": EndpointForm(),
        "answers_form": AnswersForm(),
        "comparison_form": ComparisonForm(versions=comparable, initial=initial),
        **forms,
    }
