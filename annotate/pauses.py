"""Pauses: a paused person gets no work, and what they answered since they were last judged counts no more.

The answers stay, as QUARANTINED; their tasks are open again for others. Who may go on starts afresh. Answers that are
to count again take their slot back where one is free; the others become surplus.

Locks are taken in the order of a turn and of a submit: the sequence, assignments, tasks, then the profile, and several
of a kind by their ids. Tasks are locked without their keys: somebody who reserves one looks at its key at commit, and
must not wait there.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import Case, Exists, F, Max, OuterRef, Q, QuerySet, Subquery, Value, When

from annotate import disagreements, pool, sequences, slots
from annotate.models import Assignment, Demonstration, LabelerProfile, Ranking, Submission, Task
from rlhf import evaluations
from rlhf.models import Membership, Project, Verdict

State = Assignment.State
CHUNK = 50  # answers restored per write transaction: SQLite has one writer, and labelers wait behind it


def pause(*, project: Project, labeler: User, reason: str, by: User | None = None, now: datetime) -> bool:
    """Pause a person and quarantine their answers since `checked_from`. False, and nothing new, if paused already."""
    profile, _created = LabelerProfile.objects.get_or_create(project=project, labeler=labeler)
    if profile.paused_at is not None:
        return False
    with transaction.atomic():
        sequences.lock(project_id=project.pk, labeler_id=labeler.pk)  # no turn of theirs is under way, nor begins
        own = Assignment.objects.filter(task__project=project, labeler=labeler)
        held = _locked(own.filter(state__in=slots.ON_LEASE))
        recent = _locked(_recent(own, profile))  # with what was on lease a moment ago, and is answered now
        _lock_tasks([*held, *recent])
        for assignment in held:
            slots.give_back(assignment_id=assignment.pk, task_id=assignment.task_id)
        _quarantine(recent, _pseudonym(project, labeler), now)
        active = LabelerProfile.objects.filter(pk=profile.pk, paused_at=None)
        return bool(active.update(paused_at=now, pause_reason=reason[:500], paused_by=by))


def resume(*, project: Project, labeler: User, restore: bool, now: datetime) -> bool:
    """Let a person go on, judged afresh from now on. `restore` lets their quarantined answers count again."""
    if restore:
        _restore_all(project, labeler)
    paused = LabelerProfile.objects.filter(project=project, labeler=labeler, paused_at__isnull=False)
    return bool(
        paused.update(paused_at=None, pause_reason="", paused_by=None, checked_from=now, num_gold=0, num_gold_right=0)
    )


def _recent(own: QuerySet[Assignment], profile: LabelerProfile) -> QuerySet[Assignment]:
    recent = own.filter(state=State.SUBMITTED, task__purpose=Task.Purpose.WORK)
    if profile.checked_from is None:
        return recent
    given = Submission.objects.filter(assignment=OuterRef("pk"), created_at__gt=profile.checked_from)
    return recent.filter(Exists(given))


def _locked(found: QuerySet[Assignment]) -> list[Assignment]:
    return list(found.select_related("task").select_for_update(of=("self",)).order_by("pk"))


def _lock_tasks(assignments: list[Assignment]) -> list[Task]:
    """The tasks as they are now."""
    ids = [assignment.task_id for assignment in assignments]
    return list(Task.objects.select_for_update(no_key=True).filter(pk__in=ids).order_by("pk"))


def _quarantine(assignments: list[Assignment], rater: str, now: datetime) -> None:
    ids = [assignment.pk for assignment in assignments]
    tasks = [assignment.task_id for assignment in assignments]
    Assignment.objects.filter(pk__in=ids).update(state=State.QUARANTINED, slot=None)
    reopened = When(state=Task.State.DONE, then=Value(Task.State.OPEN))
    Task.objects.filter(pk__in=tasks).update(
        num_submitted=F("num_submitted") - 1, state=Case(reopened, default=F("state"))
    )
    pool.queue_again(task_ids=tasks)
    for answers in (Ranking, Demonstration):
        answers.objects.filter(submission__assignment__in=ids, counts=True).update(counts=False)
    disagreements.note(task_ids=[row.task_id for row in assignments if row.task.overlap > 1])
    evaluations.withdraw_verdicts(verdicts=_verdicts(assignments, rater), now=now)


def _restore_all(project: Project, labeler: User) -> None:
    quarantined = Assignment.objects.filter(task__project=project, labeler=labeler, state=State.QUARANTINED)
    rater = _pseudonym(project, labeler)
    while chunk := list(quarantined.select_related("task").order_by("task_id")[:CHUNK]):
        with transaction.atomic():
            _restore(chunk, rater)


def _restore(assignments: list[Assignment], rater: str) -> None:
    open_tasks = {task.pk: task for task in _lock_tasks(assignments) if task.state == Task.State.OPEN}
    restored = [row for row in assignments if row.task_id in open_tasks and _take_slot(row, open_tasks[row.task_id])]
    Assignment.objects.filter(pk__in=[row.pk for row in assignments], state=State.QUARANTINED).update(
        state=State.SURPLUS
    )
    latest = _latest_submissions(restored)
    for answers in (Ranking, Demonstration):
        answers.objects.filter(submission__in=latest).update(counts=True)
    disagreements.note(task_ids=[row.task_id for row in restored if row.task.overlap > 1])
    verdicts = _verdicts(restored, rater)
    newest = verdicts.order_by().values("evaluation", "prompt").annotate(newest=Max("pk")).values_list("newest")
    evaluations.restore_verdicts(verdicts=Verdict.objects.filter(pk__in=[pk for (pk,) in newest]))


def _take_slot(assignment: Assignment, task: Task) -> bool:
    """Whether it holds a slot of its task, which is open and locked, again, and is counted in it."""
    held = set(Assignment.objects.filter(task=task, slot__isnull=False).values_list("slot", flat=True))
    mine = Assignment.objects.filter(pk=assignment.pk, state=State.QUARANTINED)
    for slot in (slot for slot in range(task.overlap) if slot not in held):
        try:
            with transaction.atomic():
                taken = mine.update(slot=slot, state=State.SUBMITTED)
        except IntegrityError:  # somebody took this slot after we looked
            continue
        if taken:
            last = When(num_submitted__gte=F("overlap") - 1, then=Value(Task.State.DONE))
            Task.objects.filter(pk=task.pk).update(
                num_submitted=F("num_submitted") + 1, state=Case(last, default=F("state"))
            )
        return bool(taken)
    return False


def _latest_submissions(assignments: list[Assignment]) -> list[int]:
    newest = Submission.objects.filter(assignment=OuterRef("pk")).order_by("-revision").values("pk")[:1]
    rows = Assignment.objects.filter(pk__in=[row.pk for row in assignments]).annotate(newest=Subquery(newest))
    return list(rows.values_list("newest", flat=True))


def _verdicts(assignments: list[Assignment], rater: str) -> QuerySet[Verdict]:
    prompts: dict[int | None, set[int | None]] = defaultdict(set)
    for assignment in assignments:
        prompts[assignment.task.evaluation_id].add(assignment.task.prompt_id)
    theirs = Q(pk__in=[])
    for evaluation_id in prompts.keys() - {None}:
        theirs |= Q(evaluation=evaluation_id, prompt__in=prompts[evaluation_id])
    return Verdict.objects.filter(theirs, rater=rater, run=None)


def _pseudonym(project: Project, labeler: User) -> str:
    membership = Membership.objects.filter(project=project, user=labeler).first()
    return membership.pseudonym if membership else ""
