"""Frozen evaluations: the documents that pages, charts and permalinks show (docs/evaluation.md).

A document never changes, so a process parses each once and keeps the last few.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from typing import Any

from django.db.models import F, QuerySet

from rlhf.errors import Refusal
from rlhf.models import EvaluationSnapshot, Project, Run

KEPT = 8  # parsed documents that a process keeps
NEWEST = "newest"  # in the place of a hash
SHORTEST = 12  # characters of a hash that name a document


class NoEvaluation(Refusal):
    """No frozen evaluation of this project has this hash."""

    status = 404


def store(*, run: Run, attempt: int, document: bytes) -> None:
    """Keep a document, once per content, in the transaction that ends its run.

    Verdicts that were withdrawn and came back give a document that is there already: its row then names the newer run.
    """
    assert run.snapshot is not None
    row = EvaluationSnapshot(
        project=run.project,
        verdicts=run.snapshot,
        run=run,
        attempt=attempt,
        document=document.decode(),
        sha256=hashlib.sha256(document).hexdigest(),
    )
    EvaluationSnapshot.objects.bulk_create(
        [row],
        update_conflicts=True,
        unique_fields=("project", "sha256"),
        update_fields=("run", "attempt", "verdicts"),
    )


def visible(*, project: Project) -> QuerySet[EvaluationSnapshot]:
    """Newest first, without their text; those whose run succeeded at that attempt."""
    counts = {"run__state": Run.State.SUCCEEDED, "run__attempt": F("attempt")}
    return EvaluationSnapshot.objects.filter(project=project, **counts).defer("document").order_by("-run_id")


def newest(*, project: Project) -> EvaluationSnapshot | None:
    return visible(project=project).first()


def named(*, project: Project, sha256: str) -> EvaluationSnapshot:
    """The snapshot of this hash, or of the only hash that begins so, or the `newest`. Raises NoEvaluation."""
    if sha256 == NEWEST and (latest := newest(project=project)) is not None:
        return latest
    found = list(visible(project=project).filter(sha256__startswith=sha256)[:2]) if len(sha256) >= SHORTEST else []
    if len(found) != 1:
        raise NoEvaluation(f"evaluation {sha256[:64]!r}: expected the hash of one that was frozen, found none")
    return found[0]


def text(*, snapshot: EvaluationSnapshot) -> str:
    """The very bytes of document.json."""
    return EvaluationSnapshot.objects.values_list("document", flat=True).get(pk=snapshot.pk)


def content(*, snapshot: EvaluationSnapshot) -> dict[str, Any]:
    """The parsed document. Shared between requests: read it, never change it."""
    return _content(snapshot.pk, snapshot.sha256)


def names(*, document: dict[str, Any], kind: str) -> dict[int, str]:
    """Names by id of its `versions` or `judges`."""
    return {row["id"]: row["name"] for row in document[kind]}


def cells(*, document: dict[str, Any], split: str = "held_out") -> dict[tuple[int, int], dict[str, Any]]:
    """The cells of a split by (evaluation, judge)."""
    return {(row["evaluation"], row["judge"]): row for row in document["cells"] if row["split"] == split}


@lru_cache(maxsize=KEPT)
def _content(pk: int, sha256: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(EvaluationSnapshot.objects.values_list("document", flat=True).get(pk=pk))
    return found
