"""Who may work: a protocol that asks for qualification opens once a person has passed it, and a paused person waits.

A qualification is qualification_size tasks with a known answer and explained feedback; a person passes with
qualification_percent of them right. What is right is said in annotate/quality.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db.models import F
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from annotate.models import LabelerProfile, Protocol, Qualification, Task
from rlhf.access import Access
from rlhf.errors import Refusal
from rlhf.statements import rows

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


STANDING = """
    SELECT protocol.id, protocol.qualification_size, protocol.content_warning <> '',
        profile.paused_at IS NOT NULL, profile.pause_reason, profile.declines_warned,
        mine.id, mine.state, mine.num_answered, mine.num_right
    FROM annotate_protocol protocol
    LEFT JOIN annotate_labelerprofile profile
        ON profile.project_id = protocol.project_id AND profile.labeler_id = %(labeler)s
    LEFT JOIN annotate_qualification mine ON mine.protocol_id = protocol.id AND mine.labeler_id = %(labeler)s
    WHERE protocol.project_id = %(project)s
"""


@dataclass(frozen=True)
class Standing:
    may_work: frozenset[int]  # ids of the protocols whose work the person may get
    qualifying: dict[int, Qualification]  # by protocol id: begun, or about to begin (then without a row)
    paused: str | None  # why; None for everybody who may go on
    declines_warned: bool  # protocols with a content warning are in neither of the above


def standing(*, access: Access) -> Standing:
    """What the person may get here, in one query."""
    may_work: set[int] = set()
    qualifying: dict[int, Qualification] = {}
    paused, declines = None, False
    for row in rows(STANDING, project=access.project.pk, labeler=access.user.pk):
        protocol_id, size, has_warning, is_paused, pause_reason, declines_warned, *mine = row
        declines = bool(declines_warned)
        paused = words(pause_reason) if is_paused else None
        qualification = _qualification(protocol_id, access, mine)
        if declines and has_warning:
            continue
        if not size or qualification.state == Qualification.State.PASSED:
            may_work.add(protocol_id)
        elif qualification.state != Qualification.State.FAILED:
            qualifying[protocol_id] = qualification
    return Standing(frozenset(may_work), qualifying, paused, declines)


def reason(profile: LabelerProfile) -> str:
    """Why the person is paused, in words: a manager's own, or those of the rule."""
    return words(profile.pause_reason)


def words(pause_reason: str) -> str:
    return str(RULES.get(pause_reason, pause_reason))


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


def _qualification(protocol_id: int, access: Access, mine: list[Any]) -> Qualification:
    """From the columns of STANDING; one that is about to begin where they are empty."""
    pk, state, num_answered, num_right = mine
    if pk is None:
        return Qualification(protocol_id=protocol_id, labeler=access.user)
    return Qualification(
        pk=pk, protocol_id=protocol_id, labeler=access.user, state=state, num_answered=num_answered,
        num_right=num_right,
    )  # fmt: skip
