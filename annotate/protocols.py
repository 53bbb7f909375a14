"""What each kind of task asks. A change makes a new revision, so every answer can name the words that it answered."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import F

from annotate import questions
from annotate.models import Protocol, ProtocolRevision
from annotate.questions import Questions
from rlhf.errors import Refusal
from rlhf.models import Project

DEFAULTS: dict[str, dict[str, Any]] = {
    Protocol.Kind.DEMONSTRATE: {
        "name": "Write the ideal answer",
        "guidelines": "Write the answer that you would most like to get: true, to the point, complete and polite.",
    },
    Protocol.Kind.RANK: {
        "name": "Rank the answers",
        "guidelines": "Rank from best to worst by how well each answer helps: true, to the point, complete and polite. "
        "Give two answers the same rank only where you would not prefer either.",
    },
    Protocol.Kind.COMPARE: {
        "name": "Compare two answers",
        "guidelines": "Say which answer helps more. Call it a tie only where you would not prefer either.",
        "num_completions": 2,
    },
    Protocol.Kind.PROMPT: {
        "name": "Write a prompt",
        "guidelines": "Write what you would really ask an assistant: one clear request, with all it needs to answer.",
    },
}
GUIDELINES = frozenset({"guidelines", "guideline_translations"})
CHANGEABLE = frozenset(questions.FIELDS) - {"kind", "guideline_revision"} | {
    "name", "overlap", "lease_minutes", "gold_percent", "qualification_size", "qualification_percent", "auto_pause",
    "daily_limit", "confirm_guidelines",
}  # fmt: skip


class BadProtocol(Refusal):
    pass


def protocol(*, project: Project, kind: str) -> Protocol:
    """The project's default protocol of this kind, made on first use."""
    found, _ = Protocol.objects.get_or_create(project=project, kind=kind, is_default=True, defaults=DEFAULTS[kind])
    return found


def asked(*, protocol: Protocol, revision: int) -> Questions:
    """What the protocol asked at this revision."""
    if revision == protocol.revision:
        return questions.of_protocol(protocol)
    frozen = ProtocolRevision.objects.filter(protocol=protocol, revision=revision).first()
    # A revision from before revisions were kept: what is asked now is the nearest that is known.
    return questions.of_content(frozen.content) if frozen else questions.of_protocol(protocol)


def revise(*, protocol: Protocol, **changes: Any) -> Protocol:
    """Store changes as the next revision; nothing happens where nothing changes. Raises BadProtocol."""
    unknown = sorted(set(changes) - CHANGEABLE)
    if unknown:
        raise BadProtocol(f"protocol: expected some of {sorted(CHANGEABLE)}, found {unknown}")
    check(kind=protocol.kind, changes=changes)
    with transaction.atomic():
        current = Protocol.objects.select_for_update().get(pk=protocol.pk)
        changed = {name: value for name, value in changes.items() if getattr(current, name) != value}
        if changed:
            _freeze(current)
            reworded = int(not GUIDELINES.isdisjoint(changed))
            Protocol.objects.filter(pk=protocol.pk).update(
                revision=F("revision") + 1, guideline_revision=F("guideline_revision") + reworded, **changed
            )
            current.refresh_from_db()
            _freeze(current)
    protocol.refresh_from_db()
    return protocol


def _freeze(protocol: Protocol) -> None:
    content = questions.as_content(questions.of_protocol(protocol))
    ProtocolRevision.objects.get_or_create(
        protocol=protocol, revision=protocol.revision,
        defaults={"guideline_revision": protocol.guideline_revision, "content": content},
    )  # fmt: skip


def check(*, kind: str, changes: dict[str, Any]) -> None:
    """Raises BadProtocol that names the field, what was found and what was expected."""
    bounds = {"num_completions": (2, 9), "overlap": (1, 20), "lease_minutes": (1, 1_440)}
    for name, (low, high) in bounds.items():
        value = changes.get(name, low)
        if type(value) is not int or not low <= value <= high:
            raise BadProtocol(f"protocol.{name}: expected a whole number from {low} to {high}, found {value!r}")
    if kind == Protocol.Kind.COMPARE and changes.get("num_completions", 2) != 2:
        raise BadProtocol("protocol.num_completions: a comparison shows exactly 2 answers")
    if len(changes.get("guidelines", "")) > 20_000:
        raise BadProtocol(
            f"protocol.guidelines: expected at most 20,000 characters, found {len(changes['guidelines'])}"
        )
