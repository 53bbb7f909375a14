"""Tasks are opened here, a batch at a time. Opening a batch twice, or going on after a crash, opens what is missing."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any

from django.db import transaction
from django.db.models import Count, Q, QuerySet

from annotate import protocols
from annotate.gold_files import GoldTask
from annotate.identity import gives_itself_away
from annotate.models import Demonstration, Protocol, Ranking, Task, TaskAuthor, TaskCompletion
from rlhf import completions as answer_rows
from rlhf import evaluations
from rlhf import prompts as prompt_rows
from rlhf.errors import Refusal
from rlhf.models import Completion, Evaluation, Project, Prompt

OVERLAP_OF_GOLD = 30_000  # everybody may meet it, and it is never done
MAX_PROMPT_TASKS = 10_000  # opened together
BATCH = 200  # tasks per write transaction: SQLite has one writer, and labelers wait behind it


class BadBatch(Refusal):
    pass


@dataclass(frozen=True)
class Wanted:
    """A task to open: its prompt, and the completions that it shows."""

    prompt_id: int
    completions: tuple[Completion, ...] = ()
    expected: dict[str, Any] | None = None  # where the right answer is known
    explanation: str = ""

    @property
    def versions(self) -> tuple[int, ...]:
        return tuple(completion.version_id for completion in self.completions)


@dataclass(frozen=True)
class Progress:
    num_tasks: int  # wanted: closed ones are left out
    num_done: int  # with every answer that was asked for


def open_demonstrations(
    *, project: Project, prompts: Iterable[Prompt], batch: str, iteration: int = 0, priority: int = 0
) -> int:
    """One task per prompt to write its ideal answer. Returns how many were new."""
    protocol = protocols.protocol(project=project, kind=Protocol.Kind.DEMONSTRATE)
    wanted = (Wanted(prompt.pk) for prompt in prompts)
    return _open(
        Task(protocol=protocol, overlap=protocol.overlap, batch=batch, iteration=iteration, priority=priority), wanted
    )


def open_rankings(
    *, project: Project, batch: str, iteration: int, completions: Iterable[Completion], priority: int = 0
) -> int:
    """One task per prompt to rank its completions, the first K by sample index. Returns how many were new.

    Raises BadBatch for a prompt with a single completion.
    """
    protocol = protocols.protocol(project=project, kind=Protocol.Kind.RANK)
    ordered = sorted(completions, key=lambda completion: (completion.prompt_id, completion.sample_index, completion.pk))
    groups = itertools.groupby(ordered, key=lambda completion: completion.prompt_id)
    wanted = [Wanted(prompt_id, tuple(group)[: protocol.num_completions]) for prompt_id, group in groups]
    for task in wanted:
        if (num_shown := len(task.completions)) < 2:
            raise BadBatch(f"prompt {task.prompt_id}: expected at least 2 completions to rank, found {num_shown}")
    return _open(
        Task(protocol=protocol, overlap=protocol.overlap, batch=batch, iteration=iteration, priority=priority), wanted
    )


def open_comparisons(*, evaluation: Evaluation, prompts: Iterable[Prompt], batch: str, priority: int = 0) -> int:
    """One task per prompt that both versions answered. Returns how many were new."""
    chosen = list(prompts)
    candidate = evaluations.answers(version=evaluation.candidate, prompts=chosen)
    baseline = evaluations.answers(version=evaluation.baseline, prompts=chosen)
    wanted = [
        Wanted(prompt.pk, (candidate[prompt.pk], baseline[prompt.pk]))
        for prompt in chosen
        if prompt.pk in candidate and prompt.pk in baseline
    ]
    protocol = protocols.protocol(project=evaluation.project, kind=Protocol.Kind.COMPARE)
    like = Task(
        protocol=protocol,
        overlap=protocol.overlap,
        batch=batch,
        iteration=evaluation.iteration,
        priority=priority,
        evaluation=evaluation,
    )
    return _open(like, wanted)


def open_gold(
    *, project: Project, protocol: Protocol, rows: Sequence[GoldTask], purpose: str = Task.Purpose.GOLD, now: datetime
) -> int:
    """Tasks whose right answer is known; a prompt that has one for this protocol and purpose is left alone.

    Returns how many were new. Raises BadBatch for a protocol without completions.
    """
    if protocol.kind not in (Protocol.Kind.RANK, Protocol.Kind.COMPARE):
        raise BadBatch(f"{protocol.name}: expected a protocol that shows answers, found one to {protocol.kind}")
    prompt_rows.add(project=project, prompts=[row.prompt for row in rows], source=prompt_rows.GOLD)
    row_of = {prompt_rows.sha256_of(messages=row.prompt.messages): row for row in rows}
    known = project.prompts.filter(sha256__in=row_of).values_list("pk", "sha256")
    row_of_prompt = {prompt_id: row_of[sha256] for prompt_id, sha256 in known}
    like = Task(protocol=protocol, purpose=purpose, batch=f"{purpose}/{protocol.pk}", overlap=OVERLAP_OF_GOLD)
    digest = hashlib.sha256(repr(sorted(row_of.items())).encode()).hexdigest()[:32]
    answers = answer_rows.import_answers(
        project=project, name=purpose, plan_key=f"import/{like.batch}/{digest}", now=now,
        answers={prompt_id: row.completions for prompt_id, row in row_of_prompt.items()},
    )  # fmt: skip
    return _open(
        like,
        (
            Wanted(prompt_id, tuple(answers[prompt_id]), row.expected, row.explanation)
            for prompt_id, row in row_of_prompt.items()
        ),
    )


def work(*, project: Project) -> QuerySet[Task]:
    """The tasks whose answers are wanted: gold and qualification only look like them."""
    return Task.objects.filter(project=project, purpose=Task.Purpose.WORK)


def progress(*, project: Project, batch: str) -> Progress:
    tasks = work(project=project).filter(batch=batch).exclude(state=Task.State.CLOSED).order_by()
    counts = tasks.aggregate(num_tasks=Count("pk"), num_done=Count("pk", filter=Q(state=Task.State.DONE)))
    return Progress(**counts)


def close(*, project: Project, batch: str) -> int:
    """No longer wanted: open tasks of the batch are handed out no more; an answer still under way becomes surplus."""
    return close_tasks(tasks=work(project=project).filter(batch=batch))


def close_tasks(*, tasks: QuerySet[Task]) -> int:
    return tasks.filter(state=Task.State.OPEN).update(state=Task.State.CLOSED)


def open_prompts(*, project: Project, protocol: Protocol, num: int, priority: int = 0) -> int:
    """Tasks to write a prompt, in a batch of their own. Returns how many."""
    if protocol.kind != Protocol.Kind.PROMPT:
        raise BadBatch(f"{protocol.name}: expected a protocol to write prompts, found one to {protocol.kind}")
    if not 1 <= num <= MAX_PROMPT_TASKS:
        raise BadBatch(f"expected 1 to {MAX_PROMPT_TASKS:,} tasks, found {num:,}")
    batch = f"prompts/{protocol.pk}"
    for first in range(0, num, BATCH):
        Task.objects.bulk_create(
            Task(
                project=project, protocol=protocol, kind=protocol.kind, batch=batch, overlap=1, priority=priority
            )
            for _ in range(first, min(first + BATCH, num))
        )  # fmt: skip
    return num


def _open(like: Task, wanted: Iterable[Wanted]) -> int:
    """A task like `like` for each prompt that has none in its batch."""
    opening = Opening(like)
    return sum(opening.open(chunk) for chunk in _chunks(wanted))


class Opening:
    """Opens the tasks of one batch, all alike but for their prompt and completions."""

    def __init__(self, like: Task) -> None:
        self.like = like
        self.project = like.protocol.project
        self.positions = _positions(like)
        self.names = _names(self.project)

    def open(self, chunk: list[Wanted]) -> int:
        with transaction.atomic():
            # Two planners queue here, so that the second sees what the first has opened.
            Project.objects.select_for_update(no_key=True).get(pk=self.project.pk)
            prompt_ids = [wanted.prompt_id for wanted in chunk]
            same = Task.objects.filter(project=self.project, batch=self.like.batch, prompt__in=prompt_ids)
            there = set(same.values_list("prompt_id", flat=True))
            missing = [wanted for wanted in chunk if wanted.prompt_id not in there]
            tasks = Task.objects.bulk_create(self._task(wanted) for wanted in missing)
            opened = list(zip(tasks, missing, strict=True))
            TaskCompletion.objects.bulk_create(self._completions(opened))
            TaskAuthor.objects.bulk_create(_authors(opened))
        return len(tasks)

    def _task(self, wanted: Wanted) -> Task:
        like, position = self.like, self.positions[wanted.versions]
        self.positions[wanted.versions] += 1
        return Task(
            project=self.project, protocol=like.protocol, kind=like.protocol.kind, prompt_id=wanted.prompt_id,
            evaluation=like.evaluation, batch=like.batch, iteration=like.iteration, overlap=like.overlap,
            priority=like.priority, block_position=position, purpose=like.purpose, expected=wanted.expected,
            explanation=wanted.explanation,
        )  # fmt: skip

    def _completions(self, opened: list[tuple[Task, Wanted]]) -> Iterator[TaskCompletion]:
        for task, wanted in opened:
            for index, shown in enumerate(wanted.completions):
                yield TaskCompletion(
                    task=task, completion=shown, index=index,
                    names_itself=gives_itself_away(text=shown.text, names=self.names),
                )  # fmt: skip


def _positions(like: Task) -> Counter[tuple[int, ...]]:
    """How many tasks of the same versions, in the same order, there are: those of the evaluation, else of the batch.

    Planners that open at the same moment may count alike; then two tasks share a place, and the balance loses one.
    """
    siblings = TaskCompletion.objects.filter(task__project=like.protocol.project_id)
    siblings = (
        siblings.filter(task__evaluation=like.evaluation)
        if like.evaluation
        else siblings.filter(task__batch=like.batch)
    )
    rows = siblings.order_by("task_id", "index").values_list("task_id", "completion__version_id")
    groups = itertools.groupby(rows.iterator(chunk_size=2_000), key=itemgetter(0))
    return Counter(tuple(version_id for _, version_id in group) for _, group in groups)


def _names(project: Project) -> list[str]:
    """What the project's own models are called."""
    base = project.base_model.rstrip("/")
    return [*project.versions.values_list("name", flat=True), base, base.rpartition("/")[2]]


def _authors(opened: list[tuple[Task, Wanted]]) -> list[TaskAuthor]:
    """People who wrote, word for word, what a task shows."""
    prompt_ids = [wanted.prompt_id for _, wanted in opened if wanted.completions]
    if not prompt_ids:
        return []
    labeler = "submission__labeler_id"
    written = Demonstration.objects.filter(prompt__in=prompt_ids, submission__isnull=False)
    edited = Ranking.objects.filter(prompt__in=prompt_ids).exclude(edited_text="")
    authors: defaultdict[tuple[int, str], set[int]] = defaultdict(set)
    for rows, text in ((written, "text"), (edited, "edited_text")):
        for prompt_id, words, author_id in rows.values_list("prompt_id", text, labeler):
            authors[prompt_id, " ".join(words.split())].add(author_id)
    return [
        TaskAuthor(task=task, author_id=author_id)
        for task, wanted in opened
        for author_id in sorted(
            {
                author_id
                for shown in wanted.completions
                for author_id in authors.get((wanted.prompt_id, " ".join(shown.text.split())), ())
            }
        )
    ]


def _chunks(wanted: Iterable[Wanted]) -> Iterator[list[Wanted]]:
    source = iter(wanted)
    while chunk := list(itertools.islice(source, BATCH)):
        yield chunk
