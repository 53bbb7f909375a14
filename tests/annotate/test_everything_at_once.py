"""Everything that moves an answer, done by several people at once: nobody waits in a circle, and all counts agree.

Submits (some of them twice), undo, skips, pauses, restores and decisions of reviewers draw from one small pool, so that
they meet at the same rows all the time. On both databases.
"""

from __future__ import annotations

import random
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from annotate import adjudication, batches, leases, pauses, protocols, submissions
from annotate import assignment as assignments
from annotate.disagreements import disagreement
from annotate.models import Assignment, LabelerProfile, Protocol, Ranking, Task
from annotate.submissions import Answer
from rlhf import evaluations
from rlhf.access import Access
from rlhf.errors import Refusal
from rlhf.models import Membership, Project, Role, Verdict
from tests.annotate import rows

State = Assignment.State
NUM_PEOPLE, NUM_THREADS, NUM_ACTS = 6, 4, 60
KEYS = "abcdefghi"
WEIGHTS = {"submit": 40, "twice": 10, "undo": 14, "skip": 4, "lapse": 4, "pause": 4, "resume": 10, "decide": 8}


@dataclass
class Pool:
    project: Project
    people: list[Access]
    reviewer: Access
    done: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


@pytest.fixture
def pool(either_database: None) -> Pool:
    project = rows.project()
    compare = protocols.protocol(project=project, kind=Protocol.Kind.COMPARE)
    protocols.revise(protocol=compare, overlap=2, auto_pause=False)
    candidate, baseline = rows.version(project=project, name="v1"), rows.version(project=project, name="v0")
    evaluation = evaluations.open_evaluation(project=project, candidate=candidate, baseline=baseline, iteration=1)
    prompts = rows.prompts(project=project, num=30)
    for prompt in prompts:
        rows.completions(prompt=prompt, version=candidate, texts=["one"])
        rows.completions(prompt=prompt, version=baseline, texts=["other"])
    batches.open_comparisons(evaluation=evaluation, prompts=prompts, batch="pairs")
    for _ in range(15):
        rows.ranking_task(project=project, texts=["x", "y", "z"], overlap=3)
    people = [rows.member(project=project, name=f"person {number}") for number in range(NUM_PEOPLE)]
    return Pool(project, people, rows.member(project=project, name="reviewer", role=Role.MANAGER))


def test_whatever_people_do_at_once_each_answer_counts_where_its_state_says_so(pool: Pool) -> None:
    with ThreadPoolExecutor(NUM_THREADS) as threads:
        list(threads.map(lambda number: some_acts(pool, random.Random(number)), range(NUM_THREADS)))

    assert pool.failures == []
    assert {"submit", "twice", "undo", "pause", "resume", "decide"} <= set(pool.done)
    assert wrong_tasks() == []
    assert wrong_answers() == []
    paused = LabelerProfile.objects.filter(paused_at__isnull=False).values("labeler")
    assert not Assignment.objects.filter(labeler__in=paused, state__in=[State.LEASED, State.RESERVED]).exists()


def some_acts(pool: Pool, draw: random.Random) -> None:
    for _ in range(NUM_ACTS):
        (name,) = draw.choices(list(WEIGHTS), list(WEIGHTS.values()))
        try:
            if ACTS[name](pool, draw.choice(pool.people), draw):
                pool.done.append(name)
        except Refusal:  # such as nothing to undo: a person is told so
            pass
        except Exception:  # a deadlock, an IntegrityError: nobody should ever see one
            pool.failures.append(f"{name}: {traceback.format_exc()}")
    connections.close_all()


def submit(pool: Pool, who: Access, draw: random.Random) -> bool:
    held = assignments.next_task(access=who, now=timezone.now())
    if held is None:
        return False
    submissions.submit(access=who, assignment_id=held.pk, answer=ranked(held, draw), now=timezone.now())
    assignments.next_turn_and_prefetch(access=who, now=timezone.now())
    return True


def twice(pool: Pool, who: Access, draw: random.Random) -> bool:
    """The same answer from two connections at once is one answer."""
    held = assignments.next_task(access=who, now=timezone.now())
    if held is None:
        return False
    answer = ranked(held, draw)

    def send(_: int) -> None:
        try:
            submissions.submit(access=who, assignment_id=held.pk, answer=answer, now=timezone.now())
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as both:
        list(both.map(send, range(2)))
    return True


def undo(pool: Pool, who: Access, draw: random.Random) -> bool:
    last = submissions.undo(access=who, now=timezone.now())
    changed = replace(ranked(last.assignment, draw), revises=last.revision)
    submissions.submit(access=who, assignment_id=last.assignment_id, answer=changed, now=timezone.now())
    return True


def skip(pool: Pool, who: Access, draw: random.Random) -> bool:
    held = assignments.next_task(access=who, now=timezone.now())
    if held is not None:
        leases.skip(access=who, assignment_id=held.pk, reason="I can't tell")
    return held is not None


def lapse(pool: Pool, who: Access, draw: random.Random) -> bool:
    """What time does; row by row, as it comes for each."""
    held = Assignment.objects.filter(labeler=who.user, state__in=[State.LEASED, State.RESERVED])
    past = timezone.now() - timedelta(seconds=1)
    return sum(held.filter(pk=pk).update(lease_expires_at=past) for (pk,) in held.values_list("pk")) > 0


def pause(pool: Pool, who: Access, draw: random.Random) -> bool:
    return pauses.pause(project=pool.project, labeler=who.user, reason="pace", now=timezone.now())


def resume(pool: Pool, who: Access, draw: random.Random) -> bool:
    paused = LabelerProfile.objects.filter(project=pool.project, paused_at__isnull=False).first()
    if paused is None:
        return False
    return pauses.resume(project=pool.project, labeler=paused.labeler, restore=draw.random() < 0.7, now=timezone.now())


def decide(pool: Pool, who: Access, draw: random.Random) -> bool:
    task = adjudication.waiting(access=pool.reviewer).first()
    if task is None:
        return False
    given = {"ranks": {key: place + 1 for place, key in enumerate(KEYS[: task.task_completions.count()])}}
    adjudication.decide(
        access=pool.reviewer, task_id=task.pk, submission_id=rows.new_id(), given=given, now=timezone.now()
    )
    return True


ACTS: dict[str, Callable[[Pool, Access, random.Random], bool]] = {
    "submit": submit, "twice": twice, "undo": undo, "skip": skip, "lapse": lapse, "pause": pause, "resume": resume,
    "decide": decide,
}  # fmt: skip


def ranked(held: Assignment, draw: random.Random) -> Answer:
    order = list(range(1, len(held.order_shown) + 1))
    draw.shuffle(order)
    return Answer(submission_id=rows.new_id(), ranks=dict(zip(KEYS, order, strict=False)), active_s=20.0)


def wrong_tasks() -> list[Any]:
    """Tasks whose count, state or disagreement is not what their answers say."""
    found = []
    for task in Task.objects.filter(purpose=Task.Purpose.WORK):
        num = task.assignments.filter(state=State.SUBMITTED).count()
        counted = Ranking.objects.filter(task=task, counts=True, is_adjudication=False)
        says = disagreement(list(counted.values_list("ranks", flat=True)))
        if (task.num_submitted, task.state == Task.State.DONE) != (num, num == task.overlap):
            found.append((task.pk, "num", task.num_submitted, task.state, num))
        if task.disagreement != pytest.approx(says):
            found.append((task.pk, "disagreement", task.disagreement, says))
    return found


def wrong_answers() -> list[Any]:
    """Assignments of which not exactly the last revision counts where the state says that one does."""
    found = []
    for held in Assignment.objects.select_related("task").prefetch_related("submissions"):
        revisions = sorted(given.revision for given in held.submissions.all())
        if revisions != list(range(1, len(revisions) + 1)):
            found.append((held.pk, "revisions", revisions))
        counting = Ranking.objects.filter(submission__assignment=held, counts=True)
        expected = revisions[-1:] if held.state in (State.SUBMITTED, State.ADJUDICATED) else []
        if list(counting.values_list("submission__revision", flat=True)) != expected:
            found.append(
                (held.pk, held.state, revisions, list(counting.values_list("submission__revision", flat=True)))
            )
        elif held.task.evaluation_id is not None and num_verdicts(held) != len(expected):
            found.append((held.pk, held.state, "verdicts", num_verdicts(held)))
    return found


def num_verdicts(held: Assignment) -> int:
    person = Membership.objects.get(user=held.labeler, project=held.task.project)
    verdicts = Verdict.objects.filter(
        evaluation=held.task.evaluation, prompt=held.task.prompt, rater=person.pseudonym, withdrawn_at=None
    )
    return verdicts.count()
