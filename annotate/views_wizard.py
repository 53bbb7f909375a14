"""The project wizard: one page from a base model and a file of prompts to the first task."""

from __future__ import annotations

from typing import cast

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from annotate import wizard
from annotate.wizard_forms import ProjectForm
from rlhf.errors import Refusal

SHOWN = 20  # bad rows named one by one


def new_project(request: HttpRequest) -> HttpResponse:
    """For staff: a project's base model may be any directory that the server can read."""
    if not request.user.is_staff:
        raise PermissionDenied("expected a member of staff to make a project, found an account that is not")
    form = ProjectForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        try:
            return _created(request, form)
        except Refusal as error:
            form.add_error(None, error.message)
    return render(request, "rlhf/new_project.html", {"form": form})


def _created(request: HttpRequest, form: ProjectForm) -> HttpResponse:
    data = form.cleaned_data
    names = (
        "name", "description", "base_model", "start", "policy_training", "size", "num_completions", "allow_ties",
        "guidelines",
    )  # fmt: skip
    project = wizard.create(
        manager=cast(User, request.user),
        new_prompts=data["prompts"].prompts,
        labelers=data["people"],
        **{name: data[name] for name in names},
    )
    for row in data["prompts"].bad_rows[:SHOWN]:
        messages.warning(request, f"Left out line {row.line}: {row.message}")
    messages.success(request, f"{project.name} is there. The loop opens the first tasks in a moment.")
    return redirect("project", project=project.slug)
