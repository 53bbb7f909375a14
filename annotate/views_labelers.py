"""Who labels here, and how well: a table for managers, a page per person, and what can be done about it."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.models import User
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from annotate import figures, pauses, qualifications, signals
from annotate.figures import Person
from annotate.models import Assignment, LabelerProfile, Protocol, Qualification, Submission, Task
from annotate.quality_forms import PauseForm
from annotate.signals import Answered
from rlhf.access import MANAGERS, Access, access
from rlhf.errors import Refusal
from rlhf.models import Membership, Role

PAGE = 50
KNOWN_FILTERS = {
    "gold": Q(gold_score__isnull=False, assignment__task__purpose=Task.Purpose.GOLD),
    "qualification": Q(assignment__task__purpose=Task.Purpose.QUALIFICATION),
    "quarantined": Q(assignment__state=Assignment.State.QUARANTINED),
    "surplus": Q(assignment__state=Assignment.State.SURPLUS),
}


def labelers(request: HttpRequest, project: str) -> HttpResponse:
    here = access(request=request, project=project, roles=MANAGERS)
    whole, people = figures.of_people(project=here.project)
    members = _members(here).filter(pk__gt=_number(request.GET.get("after")))
    page = list(members.order_by("pk")[: PAGE + 1])
    profiles = LabelerProfile.objects.filter(project=here.project, labeler__in=[row.user_id for row in page])
    by_person = {profile.labeler_id: profile for profile in profiles}
    rows = [
        {
            "member": member, "person": people.get(member.user_id), "reason": _reason(by_person.get(member.user_id)),
        }
        for member in page[:PAGE]
    ]  # fmt: skip
    context = {
        "here": here, "project": here.project, "rows": rows, "whole": whole, "newest": figures.NEWEST,
        "rules": signals, "next": page[PAGE - 1].pk if len(page) > PAGE else None,
        "warnings": _warnings(here),
    }  # fmt: skip
    return render(request, "annotate/labelers.html", context)


def labeler(request: HttpRequest, project: str, user: int) -> HttpResponse:
    here = access(request=request, project=project, roles=MANAGERS)
    member = _member(here, user)
    person, answers = figures.of_one(project=here.project, labeler_id=user)
    show, below = request.GET.get("show", ""), _number(request.GET.get("below"))
    page = list(_answers(here, user, show, below, _seen(answers, show, person))[: PAGE + 1])
    of_assignment = {answer.assignment_id: answer for answer in answers}
    profile = LabelerProfile.objects.select_related("paused_by").filter(project=here.project, labeler=user).first()
    context = {
        "here": here, "project": here.project, "member": member, "person": person, "profile": profile,
        "reason": _reason(profile), "show": show, "newest": figures.NEWEST_OF_ONE, "form": PauseForm(),
        "answers": [{"submission": row, "seen": of_assignment.get(row.assignment_id)} for row in page[:PAGE]],
        "qualifications": _qualifications(here, member.user), "num_quarantined": _num_quarantined(here, user),
        "next": page[PAGE - 1].pk if len(page) > PAGE else None,
    }  # fmt: skip
    return render(request, "annotate/labeler.html", context)


@require_POST
def pause(request: HttpRequest, project: str, user: int) -> HttpResponse:
    here = access(request=request, project=project, roles=MANAGERS)
    member, form = _member(here, user), PauseForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("A pause needs a reason of at most 500 characters: the person reads it."))
    else:
        pauses.pause(
            project=here.project, labeler=member.user, reason=form.cleaned_data["reason"], by=here.user,
            now=timezone.now(),
        )  # fmt: skip
    return redirect("labeler", project=project, user=user)


@require_POST
def resume(request: HttpRequest, project: str, user: int) -> HttpResponse:
    here = access(request=request, project=project, roles=MANAGERS)
    restore = request.POST.get("restore") == "yes"
    pauses.resume(project=here.project, labeler=_member(here, user).user, restore=restore, now=timezone.now())
    return redirect("labeler", project=project, user=user)


@require_POST
def requalify(request: HttpRequest, project: str, user: int) -> HttpResponse:
    here = access(request=request, project=project, roles=MANAGERS)
    member = _member(here, user)
    protocol = get_object_or_404(Protocol, project=here.project, pk=_number(request.POST.get("protocol")))
    try:
        qualifications.try_again(protocol=protocol, labeler=member.user)
    except Refusal as error:
        messages.error(request, error.message)
    return redirect("labeler", project=project, user=user)


def _members(here: Access) -> QuerySet[Membership]:
    """Labelers, and everybody else who answered something."""
    answered = Submission.objects.filter(project=here.project, labeler=OuterRef("user"))
    members = Membership.objects.filter(project=here.project).select_related("user")
    return members.filter(Q(role=Role.LABELER) | Exists(answered))


def _member(here: Access, user: int) -> Membership:
    return get_object_or_404(_members(here), user=user)


def _answers(here: Access, user: int, show: str, below: int, seen: list[Answered]) -> QuerySet[Submission]:
    """The person's submissions, newest first, those that `show` names."""
    found = Submission.objects.filter(project=here.project, labeler=user)
    if show in KNOWN_FILTERS:
        found = found.filter(KNOWN_FILTERS[show])
    elif show in SEEN_FILTERS or show == "place":
        found = found.filter(assignment__in=[answer.assignment_id for answer in seen])
    if below:
        found = found.filter(pk__lt=below)
    return found.select_related("assignment__task__prompt").order_by("-pk")


SEEN_FILTERS: dict[str, Any] = {  # of the newest answers, which the page has read anyway
    "compared": lambda answer: bool(answer.others),
    "apart": figures.differs,
    "fast": lambda answer: answer.is_too_fast,
}


def _seen(answers: list[Answered], show: str, person: Person) -> list[Answered]:
    """The newest answers that a number on the page counts."""
    if show == "place":  # the answers of `place.num`: the best stood where this person's best stands most often
        at = (person.place.place - 1, person.place.num_shown) if person.place else None
        return [answer for answer in answers if answer.places and (answer.top_place, len(answer.places)) == at]
    return [answer for answer in answers if show in SEEN_FILTERS and SEEN_FILTERS[show](answer)]


def _qualifications(here: Access, user: User) -> list[dict[str, Any]]:
    asking = Protocol.objects.filter(project=here.project, qualification_size__gt=0).order_by("name")
    mine = {row.protocol_id: row for row in Qualification.objects.filter(protocol__in=asking, labeler=user)}
    return [
        {
            "protocol": protocol,
            "mine": mine.get(protocol.pk),
            "num_unseen": qualifications.num_unseen(protocol=protocol, labeler=user),
        }
        for protocol in asking
    ]


def _num_quarantined(here: Access, user: int) -> int:
    return Assignment.objects.filter(
        task__project=here.project, labeler=user, state=Assignment.State.QUARANTINED
    ).count()


def _reason(profile: LabelerProfile | None) -> str:
    return qualifications.reason(profile) if profile is not None and profile.paused_at else ""


def _warnings(here: Access) -> list[str]:
    """What keeps the rules or the qualification from working."""
    found = []
    for protocol in Protocol.objects.filter(project=here.project):
        tasks = Task.objects.filter(protocol=protocol, state=Task.State.OPEN)
        num = tasks.filter(purpose=Task.Purpose.QUALIFICATION).count() if protocol.qualification_size else 0
        if num < protocol.qualification_size:
            text = _("%(name)s asks for %(size)s qualification tasks and has %(num)s: nobody can qualify.")
            found.append(text % {"name": protocol.name, "size": protocol.qualification_size, "num": num})
        if protocol.gold_percent and not tasks.filter(purpose=Task.Purpose.GOLD).exists():
            text = _("%(name)s asks for gold tasks and has none: accuracy can't be judged.")
            found.append(text % {"name": protocol.name})
    return found


def _number(value: str | None) -> int:
    return int(value) if value and value.isascii() and value.isdigit() and len(value) < 16 else 0
