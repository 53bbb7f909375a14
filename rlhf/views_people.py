"""People: who is in the project, in which role. For its managers."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from rlhf import projects
from rlhf.access import MANAGERS, access
from rlhf.errors import Refusal
from rlhf.forms import MemberForm
from rlhf.models import Membership


def people(request: HttpRequest, project: str) -> HttpResponse:
    here = access(request=request, project=project, roles=MANAGERS)
    form = MemberForm(request.POST or None, initial={"role": "labeler"})
    if request.method == "POST" and form.is_valid():
        try:
            projects.join(project=here.project, user=form.cleaned_data["username"], role=form.cleaned_data["role"])
            return redirect("people", project=project)
        except Refusal as error:
            form.add_error(None, error.message)
    members = Membership.objects.filter(project=here.project).select_related("user").order_by("role", "user__username")
    return render(
        request, "rlhf/people.html", {"here": here, "project": here.project, "form": form, "members": members}
    )


@require_POST
def remove_person(request: HttpRequest, project: str, user: int) -> HttpResponse:
    here = access(request=request, project=project, roles=MANAGERS)
    member = get_object_or_404(User, memberships__project=here.project, pk=user)
    try:
        projects.leave(project=here.project, user=member)
    except Refusal as error:
        messages.error(request, error.message)
    return redirect("people", project=project)


@require_POST
def switch_loop(request: HttpRequest, project: str) -> HttpResponse:
    """Start or pause the project's loop."""
    here = access(request=request, project=project, roles=MANAGERS)
    if request.POST.get("state") == "active":
        projects.start(project=here.project)
    else:
        projects.pause(project=here.project, reason=f"paused by {here.user.get_username()}")
    return redirect("project", project=project)
