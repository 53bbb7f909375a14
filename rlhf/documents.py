"""The document of a frozen evaluation, as pages read it (docs/evaluation.md). Nothing is computed here.

A document never changes, so a process parses each once and keeps the last few.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from django.db.models import F, QuerySet

from rlhf.errors import Refusal
from rlhf.models import EvaluationSnapshot, Project, Run

KEPT = 8  # parsed documents that a process keeps
SHORTEST = 12  # characters of a hash that name a document


class NoDocument(Refusal):
    """No frozen evaluation of this project has this hash."""

    status = 404


def visible(*, project: Project) -> QuerySet[EvaluationSnapshot]:
    """Newest first, without their text; those whose run succeeded at that attempt."""
    counts = {"run__state": Run.State.SUCCEEDED, "run__attempt": F("attempt")}
    return EvaluationSnapshot.objects.filter(project=project, **counts).defer("document").order_by("-id")


def newest(*, project: Project) -> EvaluationSnapshot | None:
    return visible(project=project).first()


def named(*, project: Project, sha256: str) -> EvaluationSnapshot:
    """The snapshot of this hash, or of the only hash that begins so. Raises NoDocument."""
    found = list(visible(project=project).filter(sha256__startswith=sha256)[:2]) if len(sha256) >= SHORTEST else []
    if len(found) != 1:
        raise NoDocument(f"evaluation {sha256[:64]!r}: expected the hash of one that was frozen, found none")
    return found[0]


def content(*, snapshot: EvaluationSnapshot) -> dict[str, Any]:
    """The parsed document. Shared between requests: read it, never change it."""
    return _content(snapshot.pk, snapshot.sha256)


@lru_cache(maxsize=KEPT)
def _content(pk: int, sha256: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(EvaluationSnapshot.objects.values_list("document", flat=True).get(pk=pk))
    return found
