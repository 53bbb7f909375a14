"""Which prompts a step takes: an order by hash, so the same project takes the same prompts whatever happens meanwhile.

The order depends on the project's salt, the purpose and the prompt's own hash; database ids and clocks play no part.
"""

from __future__ import annotations

import hashlib
from typing import Any

from django.db.models import QuerySet

from annotate import batches
from annotate.models import Task
from rlhf.models import Project, Prompt, Split
from rlhf.prompts import annotated


def fresh(*, project: Project, split: str, purpose: str, limit: int) -> list[Prompt]:
    """At most `limit` prompts that nobody has been asked to annotate."""
    return _first(_prompts(project, split).exclude(pk__in=_asked(project)), project, purpose, limit)


def fresh_first(*, project: Project, split: str, purpose: str, limit: int) -> list[Prompt]:
    """Fresh prompts, and when those are used up, others."""
    chosen = fresh(project=project, split=split, purpose=purpose, limit=limit)
    others = _prompts(project, split).filter(pk__in=_asked(project))
    return chosen + _first(others, project, purpose, limit - len(chosen))


def among(*, prompts: QuerySet[Prompt], project: Project, purpose: str, limit: int) -> list[Prompt]:
    """At most `limit` of the given prompts."""
    return _first(prompts, project, purpose, limit)


def _prompts(project: Project, split: str) -> QuerySet[Prompt]:
    return annotated(project=project).filter(split=Split(split))


def _asked(project: Project) -> QuerySet[Task, Any]:
    return batches.work(project=project).filter(prompt__isnull=False).values("prompt")


def _first(prompts: QuerySet[Prompt], project: Project, purpose: str, limit: int) -> list[Prompt]:
    if limit <= 0:
        return []
    hashes = prompts.order_by().values_list("sha256", "pk").iterator(chunk_size=2_000)
    chosen = sorted((_key(project, purpose, sha256), pk) for sha256, pk in hashes)[:limit]
    return _rows(project, [pk for _, pk in chosen])


def _rows(project: Project, ids: list[int]) -> list[Prompt]:
    there = {prompt.pk: prompt for prompt in Prompt.objects.filter(project=project, pk__in=ids)}
    return [there[pk] for pk in ids]


def _key(project: Project, purpose: str, sha256: str) -> str:
    return hashlib.sha256(f"{project.salt}\n{purpose}\n{sha256}".encode()).hexdigest()
