"""What counts in a dataset: rows for docs/run_folder.md, in an order that does not depend on who answered first.

Surplus answers and earlier revisions stay out. Ids and order come from tasks and slots, never from the moment an answer
arrived; only the labeler's pseudonym tells two races apart.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from django.db.models import F

from annotate.models import Demonstration, Protocol, Ranking
from rlhf.models import Completion, Membership, Project

CHUNK = 500  # rankings whose completions are read together
SLOTS = 32  # more than any task has: task and slot make one id


def demonstration_rows(*, project: Project) -> Iterator[dict[str, Any]]:
    """Ideal answers. The id of a person's is task * 32 + slot, that of an imported one is its own, negative."""
    rows = _demonstrations(project).order_by(
        "prompt_id", F("task_id").asc(nulls_first=True), F("slot").asc(nulls_first=True), "id"
    )
    labelers = _pseudonyms(project)
    columns = ("id", "prompt_id", "prompt__messages", "prompt__split", "text", "task_id", "slot", "labeler_id")
    for row in rows.values(*columns).iterator(chunk_size=CHUNK):
        imported = row["task_id"] is None
        yield {
            "demonstration_id": -row["id"] if imported else row["task_id"] * SLOTS + row["slot"],
            "prompt_id": row["prompt_id"],
            "prompt": row["prompt__messages"],
            "completion": row["text"],
            "labeler": "import" if imported else labelers.get(row["labeler_id"], "former member"),
            "split": row["prompt__split"],
        }


def ranking_rows(*, project: Project, iteration: int, old_weight: float) -> Iterator[dict[str, Any]]:
    """Rankings up to this iteration; those of earlier ones weigh `old_weight`, and stay out where that is 0."""
    first = 0 if old_weight > 0 else iteration
    rows = (
        Ranking.objects.filter(project=project, counts=True, task__kind=Protocol.Kind.RANK)
        .filter(task__iteration__gte=first, task__iteration__lte=iteration)
        .annotate(
            iteration=F("task__iteration"), slot=F("submission__assignment__slot"), labeler_id=F("submission__labeler")
        )
        .order_by("iteration", "prompt_id", "task_id", "slot")
    )
    columns = ("prompt_id", "prompt__messages", "prompt__split", "task_id", "completion_ids", "ranks")
    source = rows.values(*columns, "iteration", "slot", "labeler_id").iterator(chunk_size=CHUNK)
    labelers = _pseudonyms(project)
    while chunk := list(itertools.islice(source, CHUNK)):
        texts = _texts(chunk)
        for row in chunk:
            yield {
                "ranking_id": row["task_id"] * SLOTS + row["slot"],
                "prompt_id": row["prompt_id"],
                "prompt": row["prompt__messages"],
                "completion_ids": row["completion_ids"],
                "completions": [texts[completion_id] for completion_id in row["completion_ids"]],
                "ranks": row["ranks"],
                "labeler": labelers.get(row["labeler_id"], "former member"),
                "weight": 1.0 if row["iteration"] == iteration else float(old_weight),
                "iteration": row["iteration"],
                "split": row["prompt__split"],
            }


def _demonstrations(project: Project) -> Any:
    return Demonstration.objects.filter(project=project, counts=True).annotate(
        task_id=F("submission__assignment__task"),
        slot=F("submission__assignment__slot"),
        labeler_id=F("submission__labeler"),
    )


def _texts(chunk: list[dict[str, Any]]) -> dict[int, str]:
    ids = {completion_id for row in chunk for completion_id in row["completion_ids"]}
    return dict(Completion.objects.filter(pk__in=ids).values_list("pk", "text"))


def _pseudonyms(project: Project) -> dict[int, str]:
    return dict(Membership.objects.filter(project=project).values_list("user_id", "pseudonym"))
