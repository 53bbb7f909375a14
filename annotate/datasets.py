"""What counts in a dataset: rows for docs/run_folder.md, in an order that does not depend on who answered first.

Surplus and quarantined answers, earlier revisions and answers to gold tasks stay out. Ids and order come from tasks
and slots, never from the moment an answer arrived; only the labeler's pseudonym tells two races apart.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from django.db.models import F, Value
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Coalesce

from annotate.models import Demonstration, Protocol, ProtocolRevision, Ranking, Task
from rlhf.models import Completion, Membership, Project

CHUNK = 500  # rankings whose completions are read together
SLOTS = 32  # more than any task has: task and slot make one id
ADJUDICATED = SLOTS - 1  # in the place of a slot: a reviewer's decision is outside the overlap
COLUMNS = (
    "prompt_id", "prompt__messages", "prompt__split", "task_id", "completion_ids", "ranks", "edited_completion_id",
    "edited_text", "strength", "safety", "all_bad", "names_itself", "is_adjudication", "iteration", "slot",
    "labeler_id", "protocol", "protocol_revision",
)  # fmt: skip


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
    """Rankings up to this iteration; those of earlier ones weigh `old_weight`, and stay out where that is 0.

    An edited answer is one more completion, above the one that it was made of: edited > chosen > rejected.
    """
    first = 0 if old_weight > 0 else iteration
    rows = (
        Ranking.objects.filter(project=project, counts=True, task__kind=Protocol.Kind.RANK)
        .filter(task__purpose=Task.Purpose.WORK, task__iteration__gte=first, task__iteration__lte=iteration)
        .annotate(
            iteration=F("task__iteration"),
            slot=Coalesce("submission__assignment__slot", Value(ADJUDICATED)),
            labeler_id=F("submission__labeler"),
            protocol=F("task__protocol"),
            protocol_revision=F("submission__protocol_revision"),
            safety=KeyTextTransform("safety", "submission__body"),  # null where it was not asked
        )
        .order_by("iteration", "prompt_id", "task_id", "slot", "id")
    )
    source = rows.values(*COLUMNS).iterator(chunk_size=CHUNK)
    labelers, scales = _pseudonyms(project), _scales(project)
    while chunk := list(itertools.islice(source, CHUNK)):
        texts = _texts(chunk)
        for row in chunk:
            ranking_id = row["task_id"] * SLOTS + row["slot"]
            yield {
                "ranking_id": ranking_id,
                "prompt_id": row["prompt_id"],
                "prompt": row["prompt__messages"],
                **_completions(row, ranking_id, texts),
                "strength": row["strength"] or 0,
                "strength_scale": scales[row["protocol"], row["protocol_revision"]],
                "safety": row["safety"] or "",
                "all_bad": row["all_bad"],
                "names_itself": row["names_itself"],
                "adjudicated": row["is_adjudication"],
                "labeler": labelers.get(row["labeler_id"], "former member"),
                "weight": 1.0 if row["iteration"] == iteration else float(old_weight),
                "iteration": row["iteration"],
                "split": row["prompt__split"],
            }


def _completions(row: dict[str, Any], ranking_id: int, texts: dict[int, str]) -> dict[str, Any]:
    """Ids, texts and ranks of a ranking. The edited text comes last, and its id is the ranking's own, negative."""
    ids, ranks = list(row["completion_ids"]), list(row["ranks"])
    shown = [texts[completion_id] for completion_id in ids]
    is_edited = row["edited_completion_id"] is not None
    if is_edited:
        ids, shown, ranks = [*ids, -ranking_id], [*shown, row["edited_text"]], [*(rank + 1 for rank in ranks), 1]
    return {"completion_ids": ids, "completions": shown, "ranks": ranks, "edited": is_edited}


def _scales(project: Project) -> dict[tuple[int, int], str]:
    """The scale of strength under each revision of the project's protocols, "" where it was not asked."""
    revisions = ProtocolRevision.objects.filter(protocol__project=project)
    there = revisions.values_list("protocol_id", "revision", "content__strength")
    current = project.protocols.values_list("pk", "revision", "strength")
    scales: defaultdict[tuple[int, int], str] = defaultdict(str)
    scales |= {(protocol, revision): scale for protocol, revision, scale in [*there, *current]}
    return scales


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
