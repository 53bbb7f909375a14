"""Completions belong to (run, attempt) and exist, for everybody, if and only if that run succeeded at that attempt."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from django.db import transaction
from django.db.models import Count, F, QuerySet

from rlhf.models import Completion, ModelVersion, Project, Run
from rlhf.runs import BATCH, Claim
from rlhf.versions import register


@dataclass(frozen=True)
class NewCompletion:
    prompt_id: int
    sample_index: int
    text: str
    num_tokens: int
    finished: bool


def visible() -> QuerySet[Completion]:
    return Completion.objects.filter(run__state=Run.State.SUCCEEDED, attempt=F("run__attempt"))


def store(*, project: Project, version: ModelVersion, claim: Claim, rows: Iterable[NewCompletion]) -> int:
    """Rows of an attempt, invisible until it succeeds; how many. Every batch is a transaction of its own."""
    num_rows = 0
    remaining = iter(rows)
    while batch := list(islice(remaining, BATCH)):
        Completion.objects.bulk_create(
            [
                Completion(
                    project=project,
                    version=version,
                    run_id=claim.run_id,
                    attempt=claim.attempt,
                    prompt_id=row.prompt_id,
                    sample_index=row.sample_index,
                    text=row.text.replace("\0", "\ufffd"),  # tokens may spell NUL, which PostgreSQL can't hold
                    num_tokens=row.num_tokens,
                    finished=row.finished,
                )
                for row in batch
            ],
            ignore_conflicts=True,
        )
        num_rows += len(batch)
    return num_rows


def import_answers(
    *, project: Project, name: str, plan_key: str, answers: Mapping[int, Sequence[str]], now: datetime
) -> dict[int, list[Completion]]:
    """Answers out of a file, by prompt id, as those of a version of this name: all at once, or none.

    The import is a run that has succeeded, so that every reader takes these answers like others; the same plan key
    imports once.
    """
    version = register(project=project, kind=ModelVersion.Kind.ANSWERS, name=name)
    with transaction.atomic():
        run, made = Run.objects.get_or_create(
            project=project, plan_key=plan_key, defaults={
                "kind": Run.Kind.IMPORT, "resource": Run.Resource.CPU, "policy": version, "attempt": 1,
                "state": Run.State.SUCCEEDED, "created_at": now, "started_at": now, "ended_at": now,
            },
        )  # fmt: skip
        rows = [
            NewCompletion(prompt_id, index, text, num_tokens=0, finished=True)
            for prompt_id, texts in answers.items()
            for index, text in enumerate(texts)
        ]
        if made:
            store(project=project, version=version, claim=Claim(run.pk, run.attempt), rows=rows)
    return by_prompt(run=run)


def by_prompt(*, run: Run) -> dict[int, list[Completion]]:
    """The visible completions of a sample run, in the order of their index."""
    grouped: defaultdict[int, list[Completion]] = defaultdict(list)
    for completion in visible().filter(run=run).order_by("prompt_id", "sample_index"):
        grouped[completion.prompt_id].append(completion)
    return dict(grouped)


def distinct(*, completions: Iterable[Completion]) -> list[Completion]:
    """Each text once, the lowest index of it: nobody can say which of two equal answers is better."""
    first: dict[str, Completion] = {}
    for completion in completions:
        first.setdefault(completion.text, completion)
    return list(first.values())


def num_worth_ranking(*, run: Run) -> int:
    """Prompts of a sample run with answers that differ."""
    texts = visible().filter(run=run).order_by().values("prompt").annotate(num_texts=Count("text", distinct=True))
    return texts.filter(num_texts__gt=1).count()
