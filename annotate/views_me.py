"""A labeler's own page: what they did, in kind words, and what they choose. Nobody is ranked against anybody."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache

from annotate import assignment as assignments
from annotate import figures, people, qualifications, quality
from annotate.models import Protocol, Qualification, Submission, Task
from rlhf.access import LABELERS, Access, access
from rlhf.models import Scope

ENOUGH = 10  # tasks that others answered too, before a share says anything
EXPLAINED = 20  # qualification answers shown again


@never_cache
def me(request: HttpRequest, project: str) -> HttpResponse:
    who = access(request=request, project=project, roles=LABELERS, scope=Scope.LABEL)
    if request.method == "POST":
        people.choose(access=who, declines_warned=request.POST.get("declines_warned") == "on")
        return redirect("label-me", project=project)
    person, _answers = figures.of_one(project=who.project, labeler_id=who.user.pk)
    context = {
        "here": who, "project": who.project, "standing": qualifications.standing(access=who), "person": person,
        "says_agreement": person.agreement.num_tasks >= ENOUGH, "newest": figures.NEWEST_OF_ONE,
        "progress": assignments.progress(access=who, now=timezone.now()),
        "num_answers": Submission.objects.filter(project=who.project, labeler=who.user, revision=1).count(),
        "qualifications": _qualifications(who), "explained": _explained(who),
        "has_warned": Protocol.objects.filter(project=who.project).exclude(content_warning="").exists(),
    }  # fmt: skip
    return render(request, "annotate/me.html", context)


def _qualifications(who: Access) -> list[dict[str, Any]]:
    asking = Protocol.objects.filter(project=who.project, qualification_size__gt=0).order_by("name")
    mine = {row.protocol_id: row for row in Qualification.objects.filter(protocol__in=asking, labeler=who.user)}
    return [{"protocol": protocol, "mine": mine.get(protocol.pk)} for protocol in asking]


def _explained(who: Access) -> list[dict[str, Any]]:
    found = Submission.objects.filter(
        project=who.project, labeler=who.user, assignment__task__purpose=Task.Purpose.QUALIFICATION
    ).select_related("assignment__task__prompt")
    return [
        {"task": row.assignment.task, "feedback": quality.feedback(submission=row)}
        for row in found.order_by("-pk")[:EXPLAINED]
    ]
