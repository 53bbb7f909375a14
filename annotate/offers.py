"""A task that is new to a person: qualification before work, then work by priority with gold among it.

Gold stands at places of the person's own sequence that the project's salt decides: exactly its share in every block,
and nobody can tell where.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

from django.db.models import Count

from annotate import pool, sequences, slots
from annotate.leases import expiry
from annotate.models import Assignment, Protocol, Submission, Task
from annotate.orders import order_shown
from annotate.pool import Candidate, Level
from annotate.qualifications import Standing
from annotate.sequences import Steps
from rlhf.access import Access
from rlhf.models import Prompt
from rlhf.statements import Joined, rows

State = Assignment.State
Purpose = Task.Purpose
RESERVED = timedelta(seconds=60)  # a prefetched task that nobody asked for by then goes back to the pool
SHOWN = Joined(
    {"task": Task, "protocol": Protocol, "prompt": Prompt},
    """
    FROM annotate_task task JOIN annotate_protocol protocol ON protocol.id = task.protocol_id
    LEFT JOIN rlhf_prompt prompt ON prompt.id = task.prompt_id WHERE task.id = %(id)s
    """,
)
COMPLETIONS = 'SELECT completion_id FROM annotate_taskcompletion WHERE task_id = %(task)s ORDER BY "index"'
FIRST_SHARE = 64  # of 256
MAX_ROUNDS = 100  # a round without success means that others took all candidates: they got on


@dataclass(frozen=True)
class Held:
    """What the person holds of an open task."""

    assignment_id: int
    state: str
    task_id: int
    purpose: str
    protocol_id: int
    lease_minutes: int


@dataclass
class Person:
    """One request of a person, while their sequence is locked."""

    access: Access
    now: datetime
    standing: Standing
    steps: Steps
    held: list[Held]


def new_task(*, person: Person, state: str) -> Assignment | None:
    """A task that this person never had, LEASED or RESERVED for them; None where no queue has one."""
    return _qualification(person, state) or _work(person, state)


def missed(*, access: Access, standing: Standing, now: datetime) -> list[int]:
    """Tasks that lie before the person's start and are free all the same, such as those whose overlap was raised.

    This reads whole queues, and so it is for people to whom nothing else can be offered, outside of transactions.
    """
    for level in levels(access=access, standing=standing, now=now):
        found = pool.work(project_id=access.project.pk, labeler_id=access.user.pk, level=level, start=0)
        if found:
            return [candidate.task_id for candidate in found]
    return []


def levels(*, access: Access, standing: Standing, now: datetime) -> list[Level]:
    """The queues that this person may have work from now."""
    found = [level for level in pool.levels(project_id=access.project.pk) if level.protocol_id in standing.may_work]
    limits = {level.protocol_id: level.daily_limit for level in found if level.daily_limit is not None}
    if not limits:
        return found
    num = _num_today(access, now, list(limits))
    return [level for level in found if num.get(level.protocol_id, 0) < limits.get(level.protocol_id, 1)]


def take(*, person: Person, candidate: Candidate, state: str) -> Assignment | None:
    """The candidate, in the state, with its task and completions loaded; None where somebody was faster."""
    task = task_to_show(task_id=candidate.task_id)
    completions = rows(COMPLETIONS, task=task.pk)
    until = (
        person.now + RESERVED
        if state == State.RESERVED
        else expiry(minutes=task.protocol.lease_minutes, now=person.now)
    )
    assignment = Assignment(
        task=task, labeler=person.access.user, slot=candidate.slot, state=state,
        protocol_revision=task.protocol.revision, lease_expires_at=until,
        order_shown=order_shown(
            salt=person.access.project.salt, block_position=task.block_position, slot=candidate.slot,
            completion_ids=[pk for (pk,) in completions],
        ),
    )  # fmt: skip
    if not slots.take(assignment=assignment, now=person.now):
        return None
    if state == State.LEASED:
        person.steps.count(task.protocol_id)
    return assignment


def task_to_show(*, task_id: int) -> Task:
    """A task with its protocol and its prompt."""
    ((task, protocol, prompt),) = SHOWN.rows(id=task_id)
    task.protocol, task.prompt = protocol, prompt
    return cast(Task, task)


def _qualification(person: Person, state: str) -> Assignment | None:
    for protocol_id, qualification in sorted(person.standing.qualifying.items()):
        under_way = [
            held for held in person.held if held.purpose == Purpose.QUALIFICATION and held.protocol_id == protocol_id
        ]
        if qualification.num_answered + len(under_way) < qualification.protocol.qualification_size:
            assignment = _known_answer(person, protocol_id, Purpose.QUALIFICATION, state)
            if assignment is not None:
                return assignment
    return None


def _work(person: Person, state: str) -> Assignment | None:
    for level in levels(access=person.access, standing=person.standing, now=person.now):
        for _ in range(MAX_ROUNDS):
            candidates = _candidates(person, level)
            if not candidates:
                break
            assignment = _gold(person, level, state) or _first_taken(person, candidates, state)
            if assignment is not None:
                return assignment
    return None


def _candidates(person: Person, level: Level) -> list[Candidate]:
    found = pool.work(
        project_id=person.access.project.pk, labeler_id=person.access.user.pk, level=level,
        start=person.steps.start(level.protocol_id, level.name),
    )  # fmt: skip
    if found:
        person.steps.move_start(level.protocol_id, level.name, found[0].queue_place)
    return found


def _gold(person: Person, level: Level, state: str) -> Assignment | None:
    """A gold task where the sequence has one at this place, and one is left that is new to the person."""
    protocol_id = level.protocol_id
    seed = f"{person.access.project.salt}:gold:{person.access.user.pk}:{protocol_id}"
    if not sequences.is_gold(seed=seed, position=person.steps.num_begun(protocol_id), percent=level.gold_percent):
        return None
    return _known_answer(person, protocol_id, Purpose.GOLD, state)


def _known_answer(person: Person, protocol_id: int, purpose: str, state: str) -> Assignment | None:
    for _ in range(MAX_ROUNDS):
        candidates = pool.known_answers(
            project_id=person.access.project.pk, labeler_id=person.access.user.pk, protocol_id=protocol_id,
            purpose=purpose,
        )  # fmt: skip
        if not candidates:
            return None
        assignment = _first_taken(person, candidates, state)
        if assignment is not None:
            return assignment
    return None


def _first_taken(person: Person, candidates: Sequence[Candidate], state: str) -> Assignment | None:
    """Mostly start at another one than other people do; often enough at the first, so that it is not left behind."""
    draw = hashlib.sha256(f"{person.access.user.pk}:{candidates[-1].task_id}".encode()).digest()
    start = draw[0] % len(candidates) if draw[1] >= FIRST_SHARE else 0
    for candidate in (*candidates[start:], *candidates[:start]):
        assignment = take(person=person, candidate=candidate, state=state)
        if assignment is not None:
            return assignment
    return None


def _num_today(access: Access, now: datetime, protocol_ids: list[int]) -> dict[int, int]:
    """Tasks of today by protocol: answered, or held now."""
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    mine = Assignment.objects.filter(labeler=access.user, task__protocol__in=protocol_ids).order_by()
    answered = Submission.objects.filter(
        project=access.project, labeler=access.user, created_at__gte=today, revision=1
    ).values("assignment")
    counted = mine.filter(pk__in=answered) | mine.filter(state__in=slots.ON_LEASE)
    return dict(counted.values_list("task__protocol").annotate(num=Count("pk", distinct=True)))
