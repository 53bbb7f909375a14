"""Reads what the quality rules and pages look at: a person's newest answers, and what others said of the same tasks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db.models import F, QuerySet, Sum
from django.db.models.functions import Length

from annotate.models import LabelerProfile, Ranking, Submission, Task, TaskCompletion
from annotate.signals import TRUST_FLOOR, Answered
from rlhf.learning.stats.agreement import wilson
from rlhf.models import Project

Ranks = tuple[int, ...]
COLUMNS = {
    "task_id": F("assignment__task"),
    "order_shown": F("assignment__order_shown"),
    "handed_out_at": F("assignment__created_at"),
    "state": F("assignment__state"),
    "purpose": F("assignment__task__purpose"),
    "kind": F("assignment__task__kind"),
    "completion_ids": F("ranking__completion_ids"),
    "ranks": F("ranking__ranks"),
    "text_length": Length("demonstration__text"),
}


def submissions(*, project: Project, labeler: User, since: datetime | None) -> QuerySet[Submission]:
    """A person's submissions that are judged: work and gold, after `since`."""
    found = Submission.objects.filter(project=project, labeler=labeler)
    if since is not None:
        found = found.filter(created_at__gt=since)
    return found.exclude(assignment__task__purpose=Task.Purpose.QUALIFICATION)


def answers(*, project: Project, labeler: User, found: QuerySet[Submission], limit: int) -> list[Answered]:
    """The newest `limit` of these submissions of one person, oldest first; of a revised answer only its last form."""
    rows = read(found=found, limit=limit)
    theirs = trusted_ranks(project=project, labeler=labeler, task_ids={row["task_id"] for row in rows})
    return answered(rows=rows, theirs=theirs)


def read(*, found: QuerySet[Submission], limit: int) -> list[dict[str, Any]]:
    """The newest `limit` of these submissions as rows, oldest first, with all that is judged about them."""
    columns = (
        "pk", "assignment_id", "labeler_id", "revision", "gold_score", "active_s", "shown_characters", "created_at",
    )  # fmt: skip
    rows = list(found.order_by("-pk").values(*columns, **COLUMNS)[:limit])[::-1]
    _measure(rows)
    return rows


def answered(*, rows: Sequence[dict[str, Any]], theirs: Mapping[int, Sequence[Ranks]]) -> list[Answered]:
    """One person's rows of `read`, beside `theirs`: what others said, by task id."""
    seconds = _seconds(rows)
    last = {row["assignment_id"]: row for row in rows}
    return [_answered(row, seconds.get(row["pk"]), theirs.get(row["task_id"], ())) for row in last.values()]


def trusted_ranks(*, project: Project, labeler: User, task_ids: Collection[int]) -> dict[int, list[Ranks]]:
    """What people who can be trusted said of these tasks, by task id: a reviewer's decisions, and the answers of others
    whose gold share is above TRUST_FLOOR for certain. Without gold nobody is: two careless people agree, too."""
    people = set(trusted(project=project)) - {labeler.pk}
    rows = Ranking.objects.filter(task__in=task_ids, counts=True).exclude(submission__labeler=labeler)
    found: dict[int, list[Ranks]] = defaultdict(list)
    for row in rows.values("task_id", "ranks", "is_adjudication", person=F("submission__labeler")):
        if row["is_adjudication"] or row["person"] in people:
            found[row["task_id"]].append(tuple(row["ranks"]))
    return found


def trusted(*, project: Project) -> list[int]:
    """Ids of the people whose gold answers show that they can be trusted, and who are not paused."""
    profiles = LabelerProfile.objects.filter(project=project, paused_at=None, num_gold__gt=0)
    rows = profiles.values_list("labeler", "num_gold", "num_gold_right")
    return [person for person, num, right in rows if wilson(right / num, num)[0] >= TRUST_FLOOR]


def ranks_and_places(row: dict[str, Any]) -> tuple[Ranks, Ranks]:
    """Ranks, and the place on screen of each, in the order of the task; () where nothing was ranked."""
    if not row["ranks"] or not row["order_shown"]:
        return (), ()
    place_of = {pk: place for place, pk in enumerate(row["order_shown"])}
    return tuple(row["ranks"]), tuple(place_of[pk] for pk in row["completion_ids"])


def _answered(row: dict[str, Any], seconds: float | None, theirs: Sequence[Ranks]) -> Answered:
    ranks, places = ranks_and_places(row)
    return Answered(
        assignment_id=row["assignment_id"], gold_score=row["gold_score"], ranks=ranks, places=places, seconds=seconds,
        shown_characters=row["shown_characters"], others=tuple(theirs) if ranks else (),
    )  # fmt: skip


def _seconds(rows: Sequence[dict[str, Any]]) -> dict[int, float]:
    """By submission. A page may say anything, so no answer took longer than since it was handed out, nor than since the
    person's answer before it. A revision has no time of its own."""
    found, before = {}, None
    for row in rows:
        starts = [at for at in (row["handed_out_at"], before) if at is not None and at <= row["created_at"]]
        since = (row["created_at"] - max(starts)).total_seconds() if starts else row["active_s"]
        if row["revision"] == 1:
            found[row["pk"]] = min(row["active_s"], since)
        before = row["created_at"]
    return found


def _measure(rows: list[dict[str, Any]]) -> None:
    """Fill in, here and in the database, how long what was shown is where no look has measured it yet."""
    new = [row for row in rows if row["shown_characters"] is None]
    shown = TaskCompletion.objects.filter(task__in={row["task_id"] for row in new}).order_by().values("task")
    length = dict(shown.annotate(length=Sum(Length("completion__text"))).values_list("task", "length"))
    for row in new:
        row["shown_characters"] = row["text_length"] or length.get(row["task_id"], 0)
    measured = [Submission(pk=row["pk"], shown_characters=row["shown_characters"]) for row in new]
    Submission.objects.bulk_update(measured, ["shown_characters"], batch_size=100)
