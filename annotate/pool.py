"""The open tasks that a person may get, found at a cost that does not grow with the pool.

Tasks wait in queues, one per protocol and priority. A person looks from the first task that was new to them last time,
so what they have seen is not read again; a task that comes back joins the end of its queue and is met there.

Written in SQL, for both databases: the planner's choices matter here. A subquery in a comparison stays a look-up per
row, where NOT EXISTS may become a hash of everything that the person ever saw. COUNT(*) < 1, and not IS NULL, which
PostgreSQL takes to hold for one row in 200: it would expect to read whole queues, and first compile the query (0.15 s).
"""

from __future__ import annotations

from dataclasses import dataclass

from annotate.models import Task
from annotate.models.tasks import end_of_queue
from rlhf.statements import rows

WINDOW = 16  # candidates looked at together; people start at different ones, so that few meet at the same row

LEVELS = """
    WITH RECURSIVE level (protocol_id, priority) AS (
        SELECT protocol.id, (
            SELECT MAX(task.priority) FROM annotate_task task
            WHERE task.project_id = protocol.project_id AND task.state = 'open' AND task.purpose = 'work'
            AND task.protocol_id = protocol.id
        ) FROM annotate_protocol protocol WHERE protocol.project_id = %(project)s
        UNION ALL
        SELECT level.protocol_id, (
            SELECT MAX(task.priority) FROM annotate_task task
            WHERE task.project_id = %(project)s AND task.state = 'open' AND task.purpose = 'work'
            AND task.protocol_id = level.protocol_id AND task.priority < level.priority
        ) FROM level WHERE level.priority IS NOT NULL
    )
    SELECT level.protocol_id, level.priority, protocol.gold_percent, protocol.daily_limit
    FROM level JOIN annotate_protocol protocol ON protocol.id = level.protocol_id
    WHERE level.priority IS NOT NULL ORDER BY level.priority DESC, level.protocol_id
"""
NEW_TO_THE_PERSON = """
    AND (SELECT COUNT(*) FROM annotate_assignment mine
         WHERE mine.task_id = task.id AND mine.labeler_id = %(labeler)s) < 1
    AND (SELECT COUNT(*) FROM annotate_taskauthor author
         WHERE author.task_id = task.id AND author.author_id = %(labeler)s) < 1
"""
WORK = f"""
    SELECT task.id, task.queue_place, (
        SELECT COALESCE(SUM(CAST(1 AS BIGINT) << held.slot), 0) FROM annotate_assignment held
        WHERE held.task_id = task.id AND held.slot IS NOT NULL
    ) FROM annotate_task task
    WHERE task.project_id = %(project)s AND task.state = 'open' AND task.purpose = 'work'
    AND task.protocol_id = %(protocol)s AND task.priority = %(priority)s AND task.queue_place >= %(start)s
    AND (SELECT COUNT(*) FROM annotate_assignment held
         WHERE held.task_id = task.id AND held.slot IS NOT NULL) < task.overlap
    {NEW_TO_THE_PERSON} ORDER BY task.queue_place, task.id LIMIT %(limit)s
"""  # noqa: S608 (our own text)
KNOWN = f"""
    SELECT task.id, task.queue_place, (
        SELECT COALESCE(MAX(held.slot) + 1, 0) FROM annotate_assignment held WHERE held.task_id = task.id
    ) FROM annotate_task task
    WHERE task.project_id = %(project)s AND task.state = 'open' AND task.purpose = %(purpose)s
    AND task.protocol_id = %(protocol)s AND task.queue_place >= %(start)s
    {NEW_TO_THE_PERSON} ORDER BY task.queue_place, task.id LIMIT %(limit)s
"""  # noqa: S608 (our own text)
RESERVED = """
    SELECT reserved.id, reserved.task_id, reserved.slot, task.protocol_id, (
        SELECT mine.id FROM annotate_assignment mine
        WHERE mine.task_id = task.id AND mine.labeler_id = %(labeler)s AND mine.state = 'expired'
    ) FROM annotate_assignment reserved JOIN annotate_task task ON task.id = reserved.task_id
    WHERE reserved.state IN ('reserved', 'leased') AND reserved.state = 'reserved'  -- the first for the partial index
    AND reserved.labeler_id <> %(labeler)s AND task.project_id = %(project)s
    AND task.state = 'open' AND task.purpose = 'work'
    AND (SELECT COUNT(*) FROM annotate_assignment mine
         WHERE mine.task_id = task.id AND mine.labeler_id = %(labeler)s AND mine.state <> 'expired') < 1
    AND (SELECT COUNT(*) FROM annotate_taskauthor author
         WHERE author.task_id = task.id AND author.author_id = %(labeler)s) < 1
    ORDER BY reserved.lease_expires_at, reserved.id
"""


@dataclass(frozen=True)
class Level:
    """One queue: the open work of a protocol at one priority."""

    protocol_id: int
    priority: int
    gold_percent: int
    daily_limit: int | None

    @property
    def name(self) -> str:
        return str(self.priority)


@dataclass(frozen=True)
class Candidate:
    task_id: int
    queue_place: int
    slot: int  # free when we looked


@dataclass(frozen=True)
class Reservation:
    """Somebody else's prefetched task, which the person may have if nothing else is left."""

    assignment_id: int
    task_id: int
    slot: int
    protocol_id: int
    own_id: int | None  # the person's own lapsed assignment of this task


def levels(*, project_id: int) -> list[Level]:
    """Every queue with open work, the highest priority first."""
    return [Level(*row) for row in rows(LEVELS, project=project_id)]


def work(*, project_id: int, labeler_id: int, level: Level, start: int, limit: int = WINDOW) -> list[Candidate]:
    """Tasks of a queue with a free slot that are new to the person, from `start` on."""
    found = rows(
        WORK, project=project_id, labeler=labeler_id, protocol=level.protocol_id, priority=level.priority, start=start,
        limit=limit,
    )  # fmt: skip
    return [Candidate(task_id, place, _lowest_free(int(held))) for task_id, place, held in found]


def known_answers(
    *, project_id: int, labeler_id: int, protocol_id: int, purpose: str, start: int = 0
) -> list[Candidate]:
    """Gold or qualification tasks that are new to the person; any number of people may have each."""
    found = rows(
        KNOWN, project=project_id, labeler=labeler_id, protocol=protocol_id, purpose=purpose, start=start, limit=WINDOW
    )
    return [Candidate(*row) for row in found]


def reservations(*, project_id: int, labeler_id: int) -> list[Reservation]:
    return [Reservation(*row) for row in rows(RESERVED, project=project_id, labeler=labeler_id)]


def queue_again(*, task_ids: list[int]) -> None:
    """Put tasks with a slot that came free at the end of their queues, ahead of everybody's start.

    The place comes from the clock itself and not from the request's time: it must never be one that somebody passed.
    """
    Task.objects.filter(pk__in=task_ids, state=Task.State.OPEN).update(queue_place=end_of_queue())


def _lowest_free(held: int) -> int:
    """The lowest bit that is not set."""
    return (~held & (held + 1)).bit_length() - 1
