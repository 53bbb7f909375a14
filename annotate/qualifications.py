"""Who may work: a protocol that asks for qualification opens once a person has passed it, and a paused person waits.

A qualification is qualification_size tasks with a known answer and explained feedback; a person passes with
qualification_percent of them right. What is right is said in annotate/quality.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db.models import F, FilteredRelation, Q
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from annotate.models import LabelerProfile, Protocol, Qualification, Task
from rlhf.access import Access
from rlhf.errors import Refusal

RULES: dict[str, Promise] = {  # what a rule of annotate/signals.py says of the answers that break it
    "accuracy": gettext_lazy("Many answers differed from what is right, or from what others said."),
    "position": gettext_lazy("The best answer was nearly always in the same place on the screen."),
    "pace": gettext_lazy("Many answers came faster than the texts can be read."),
}


class Paused(Refusal):
    """The person is paused; `extra["paused"]` carries the reason."""

    status = 403


class TooFewTasks(Refusal):
    pass


@dataclass(frozen=True)
class Standing:
    may_work: frozenset[int]  # ids of the protocols whose work the person may get
    qualifying: dict[int, Qualification]  # by protocol id: begun, or about to begin (then without a row)
    paused: str | None  # why; None for everybody who may go on
    declines_warned: bool  # protocols with a content warning are in neither of the above


def standing(*, access: Access) -> Standing:
    """What the person may get here. Two queries, one of them over the project's protocols."""
    profile = LabelerProfile.objects.filter(project=access.project, labeler=access.user).first()
    declines = bool(profile and profile.declines_warned)
    may_work: set[int] = set()
    qualifying: dict[int, Qualification] = {}
    for row in _protocols(access):
        if declines and row["content_warning"]:
            continue
        if not row["qualification_size"] or row["state"] == Qualification.State.PASSED:
            may_work.add(row["pk"])
        elif row["state"] != Qualification.State.FAILED:
            qualifying[row["pk"]] = _qualification(row, access)
    paused = reason(profile) if profile and profile.paused_at else None
    return Standing(frozenset(may_work), qualifying, paused, declines)


def reason(profile: LabelerProfile) -> str:
    """Why the person is paused, in words: a manager's own, or those of the rule."""
    return str(RULES.get(profile.pause_reason, profile.pause_reason))


def refuse_paused(standing: Standing) -> None:
    """Raises Paused, which the API answers with 403 {"detail", "paused": reason}."""
    if standing.paused is not None:
        raise Paused(
            _("Your work here is paused. Nothing that you wrote is lost; the project's manager will get in touch."),
            paused=standing.paused,
        )


def count_answer(*, protocol: Protocol, labeler: User, right: bool, now: datetime) -> Qualification:
    """One more qualification task answered; the last one decides. Call it in a transaction."""
    mine, _created = Qualification.objects.get_or_create(protocol=protocol, labeler=labeler)
    undecided = Qualification.objects.filter(pk=mine.pk, state=Qualification.State.IN_PROGRESS)
    undecided.update(num_answered=F("num_answered") + 1, num_right=F("num_right") + int(right))
    mine.refresh_from_db()
    if mine.state == Qualification.State.IN_PROGRESS and mine.num_answered >= protocol.qualification_size:
        passed = 100 * mine.num_right >= protocol.qualification_percent * mine.num_answered
        mine.state = Qualification.State.PASSED if passed else Qualification.State.FAILED
        mine.decided_at = now
        undecided.update(state=mine.state, decided_at=now)
    return mine


def num_unseen(*, protocol: Protocol, labeler: User) -> int:
    """Qualification tasks that the person could still get."""
    tasks = Task.objects.filter(protocol=protocol, purpose=Task.Purpose.QUALIFICATION, state=Task.State.OPEN)
    return tasks.exclude(assignments__labeler=labeler).count()


def try_again(*, protocol: Protocol, labeler: User) -> None:
    """Let a person who failed begin anew, with tasks that they have not seen. Raises TooFewTasks."""
    unseen = num_unseen(protocol=protocol, labeler=labeler)
    if unseen < protocol.qualification_size:
        message = _("%(name)s needs %(size)s qualification tasks that this person has not seen; there are %(unseen)s.")
        raise TooFewTasks(message % {"name": protocol.name, "size": protocol.qualification_size, "unseen": unseen})
    failed = Qualification.objects.filter(protocol=protocol, labeler=labeler, state=Qualification.State.FAILED)
    failed.update(state=Qualification.State.IN_PROGRESS, num_answered=0, num_right=0, decided_at=None)


def _protocols(access: Access) -> list[dict[str, Any]]:
    rows = Protocol.objects.filter(project=access.project).alias(
        mine=FilteredRelation("qualifications", condition=Q(qualifications__labeler=access.user))
    )
    return [
        dict(row)
        for row in rows.values(
            "pk", "qualification_size", "content_warning", qualification_id=F("mine__pk"), state=F("mine__state"),
            num_answered=F("mine__num_answered"), num_right=F("mine__num_right"),
        )
    ]  # fmt: skip


def _qualification(row: dict[str, Any], access: Access) -> Qualification:
    if row["qualification_id"] is None:
        return Qualification(protocol_id=row["pk"], labeler=access.user)
    return Qualification(
        pk=row["qualification_id"], protocol_id=row["pk"], labeler=access.user, state=row["state"],
        num_answered=row["num_answered"], num_right=row["num_right"],
    )  # fmt: skip
