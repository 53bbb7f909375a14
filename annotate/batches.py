"""Tasks are opened here, a batch at a time. Opening a batch twice, or going on after a crash, opens what is missing."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Count, Q, QuerySet

from annotate import protocols
from annotate.models import Protocol, Task, TaskCompletion
from rlhf import evaluations
from rlhf.errors import Refusal
from rlhf.models import Completion, Evaluation, Project, Prompt

BATCH = 200  # tasks per write transaction: SQLite has one writer, and labelers wait behind it
Wanted = tuple[int, tuple[int, ...]]  # a prompt id and the completion ids that its task shows


class BadBatch(Refusal):
    pass


@dataclass(frozen=True)
class Progress:
    num_tasks: int  # wanted: closed ones are left out
    num_done: int  # with every answer that was asked for


def open_demonstrations(
    *, project: Project, prompts: Iterable[Prompt], batch: str, iteration: int = 0, priority: int = 0
) -> int:
    """One task per prompt to write its ideal answer. Returns how many were new."""
    protocol = protocols.protocol(project=project, kind=Protocol.Kind.DEMONSTRATE)
    wanted = ((prompt.pk, ()) for prompt in prompts)
    return _open(Task(protocol=protocol, batch=batch, iteration=iteration, priority=priority), wanted)


def open_rankings(
    *, project: Project, batch: str, iteration: int, completions: Iterable[Completion], priority: int = 0
) -> int:
    """One task per prompt to rank its completions, the first K by sample index. Returns how many were new.

    Raises BadBatch for a prompt with a single completion.
    """
    protocol = protocols.protocol(project=project, kind=Protocol.Kind.RANK)
    ordered = sorted(completions, key=lambda completion: (completion.prompt_id, completion.sample_index, completion.pk))
    groups = itertools.groupby(ordered, key=lambda completion: completion.prompt_id)
    wanted = [
        (prompt_id, tuple(completion.pk for completion in group)[: protocol.num_completions])
        for prompt_id, group in groups
    ]
    for prompt_id, shown in wanted:
        if len(shown) < 2:
            raise BadBatch(f"prompt {prompt_id}: expected at least 2 completions to rank, found {len(shown)}")
    return _open(Task(protocol=protocol, batch=batch, iteration=iteration, priority=priority), wanted)


def open_comparisons(*, evaluation: Evaluation, prompts: Iterable[Prompt], batch: str, priority: int = 0) -> int:
    """One task per prompt that both versions answered. Returns how many were new."""
    chosen = list(prompts)
    candidate = evaluations.answers(version=evaluation.candidate, prompts=chosen)
    baseline = evaluations.answers(version=evaluation.baseline, prompts=chosen)
    wanted = [
        (prompt.pk, (candidate[prompt.pk].pk, baseline[prompt.pk].pk))
        for prompt in chosen
        if prompt.pk in candidate and prompt.pk in baseline
    ]
    protocol = protocols.protocol(project=evaluation.project, kind=Protocol.Kind.COMPARE)
    like = Task(
        protocol=protocol, batch=batch, iteration=evaluation.iteration, priority=priority, evaluation=evaluation
    )
    return _open(like, wanted)


def progress(*, project: Project, batch: str) -> Progress:
    tasks = Task.objects.filter(project=project, batch=batch).exclude(state=Task.State.CLOSED).order_by()
    counts = tasks.aggregate(num_tasks=Count("pk"), num_done=Count("pk", filter=Q(state=Task.State.DONE)))
    return Progress(**counts)


def close(*, project: Project, batch: str) -> int:
    """No longer wanted: open tasks of the batch are handed out no more; an answer still under way becomes surplus."""
    return close_tasks(tasks=Task.objects.filter(project=project, batch=batch))


def close_tasks(*, tasks: QuerySet[Task]) -> int:
    return tasks.filter(state=Task.State.OPEN).update(state=Task.State.CLOSED)


def _open(like: Task, wanted: Iterable[Wanted]) -> int:
    """A task like `like` for each prompt that has none in its batch."""
    project = like.protocol.project
    return sum(_open_chunk(project, like, chunk) for chunk in _chunks(wanted))


def _open_chunk(project: Project, like: Task, chunk: list[Wanted]) -> int:
    with transaction.atomic():
        # Two planners queue here, so that the second sees what the first has opened.
        Project.objects.select_for_update(no_key=True).get(pk=project.pk)
        there = set(
            Task.objects.filter(
                project=project, batch=like.batch, prompt__in=[prompt_id for prompt_id, _ in chunk]
            ).values_list("prompt_id", flat=True)
        )
        missing = [(prompt_id, shown) for prompt_id, shown in chunk if prompt_id not in there]
        tasks = Task.objects.bulk_create(_like(like, project, prompt_id) for prompt_id, _ in missing)
        TaskCompletion.objects.bulk_create(
            TaskCompletion(task=task, completion_id=completion_id, index=index)
            for task, (_, shown) in zip(tasks, missing, strict=True)
            for index, completion_id in enumerate(shown)
        )
    return len(tasks)


def _like(like: Task, project: Project, prompt_id: int) -> Task:
    return Task(
        project=project, protocol=like.protocol, kind=like.protocol.kind, prompt_id=prompt_id,
        evaluation=like.evaluation, batch=like.batch, iteration=like.iteration, overlap=like.protocol.overlap,
        priority=like.priority,
    )  # fmt: skip


def _chunks(wanted: Iterable[Wanted]) -> Iterator[list[Wanted]]:
    source = iter(wanted)
    while chunk := list(itertools.islice(source, BATCH)):
        yield chunk
