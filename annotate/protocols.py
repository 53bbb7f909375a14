"""What each kind of task asks. A change makes a new revision, so every answer can name the words that it answered."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import F

from annotate import protocol_rules, questions
from annotate.models import Protocol, ProtocolRevision
from annotate.protocol_rules import BadProtocol
from annotate.questions import Questions
from rlhf.models import Project

__all__ = ("BadProtocol", "asked", "create", "protocol", "revise", "use_by_default")

CHINESE = "zh-hans"
DEFAULTS: dict[str, dict[str, Any]] = {
    Protocol.Kind.DEMONSTRATE: {
        "name": "Write the ideal answer",
        "guidelines": "Write the answer that you would most like to get: true, to the point, complete and polite.",
        "guideline_translations": {CHINESE: "请写出你自己最希望得到的回答：真实、切题、完整、有礼貌。"},
    },
    Protocol.Kind.RANK: {
        "name": "Rank the answers",
        "guidelines": "Rank from best to worst by how well each answer helps: true, to the point, complete and polite. "
        "Give two answers the same rank only where you would not prefer either.",
        "guideline_translations": {
            CHINESE: "请按每个回答的帮助程度从好到差排序：真实、切题、完整、有礼貌。"
            "只有在你对两个回答没有偏好时才给相同名次。"
        },
    },
    Protocol.Kind.COMPARE: {
        "name": "Compare two answers",
        "guidelines": "Say which answer helps more. Call it a tie only where you would not prefer either.",
        "guideline_translations": {CHINESE: "请选出更有帮助的回答。只有在你对两者没有偏好时才选平局。"},
        "num_completions": 2,
    },
    Protocol.Kind.PROMPT: {
        "name": "Write a prompt",
        "guidelines": "Write what you would really ask an assistant: one clear request, with all it needs to answer.",
        "guideline_translations": {CHINESE: "请写出你真正想问助手的内容：一个明确的请求，并包含回答所需的全部信息。"},
    },
}
GUIDELINES = frozenset({"guidelines", "guideline_translations"})
CHANGEABLE = frozenset(questions.FIELDS) - {"kind", "guideline_revision"} | {
    "name", "overlap", "lease_minutes", "gold_percent", "qualification_size", "qualification_percent", "auto_pause",
    "daily_limit", "confirm_guidelines",
}  # fmt: skip


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


def create(*, project: Project, kind: str, name: str, **asks: Any) -> Protocol:
    """One more protocol of a kind; the first of its kind is the default. Raises BadProtocol."""
    made = Protocol(project=project, kind=kind, name=name)
    values = {**_values(made), **_known(asks)}
    if kind == Protocol.Kind.COMPARE:
        values.setdefault("num_completions", 2)
    check(protocol=made, values=values)
    with transaction.atomic():
        Project.objects.select_for_update(no_key=True).get(pk=project.pk)
        others = Protocol.objects.filter(project=project, kind=kind, is_default=True)
        made = Protocol.objects.create(project=project, kind=kind, is_default=not others.exists(), **values)
        _freeze(made)
    return made


def revise(*, protocol: Protocol, **changes: Any) -> Protocol:
    """Store changes as the next revision; nothing happens where nothing changes. Raises BadProtocol."""
    with transaction.atomic():
        current = Protocol.objects.select_for_update().get(pk=protocol.pk)
        there = _values(current)
        changed = {name: value for name, value in _known(changes).items() if there[name] != value}
        check(protocol=current, values={**there, **changed})
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


def changes(*, revision: ProtocolRevision) -> str:
    """What a revision changed against the one before it, in words; empty for the first that is known."""
    before = ProtocolRevision.objects.filter(protocol=revision.protocol_id, revision__lt=revision.revision).last()
    if before is None:
        return ""
    old, new = before.content, revision.content
    changed = [name for name in new if old.get(name) != new[name] and name != "guideline_revision"]
    said = [f"{name}: {_brief(old.get(name))} → {_brief(new[name])}" for name in sorted(changed)]
    return "; ".join(said) or "who and how many, or quality"


def use_by_default(*, protocol: Protocol) -> None:
    """From now on the loop opens its tasks of this kind under it. Open tasks stay as they are."""
    with transaction.atomic():
        Project.objects.select_for_update(no_key=True).get(pk=protocol.project_id)
        same = Protocol.objects.filter(project=protocol.project_id, kind=protocol.kind)
        same.filter(is_default=True).update(is_default=False)
        same.filter(pk=protocol.pk).update(is_default=True)
    protocol.refresh_from_db()


def _known(changes: dict[str, Any]) -> dict[str, Any]:
    unknown = sorted(set(changes) - CHANGEABLE)
    if unknown:
        raise BadProtocol(unknown[0], f"expected some of {sorted(CHANGEABLE)}, found {unknown}")
    return changes


def _values(protocol: Protocol) -> dict[str, Any]:
    return {name: getattr(protocol, name) for name in CHANGEABLE}


def _brief(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(choice["name"] for choice in value) or "none"
    text = "not asked" if value in ("", None) else str(value)
    return text if len(text) <= 40 else f"{text[:39]}…"


def check(*, protocol: Protocol, values: dict[str, Any]) -> None:
    """Raises BadProtocol for what the protocol can't ask; `values` has every field."""
    protocol_rules.check(kind=protocol.kind, values=values)
    name = values["name"]
    taken = {DEFAULTS[kind]["name"] for kind in DEFAULTS if kind != protocol.kind}
    others = Protocol.objects.filter(project=protocol.project_id, name=name).exclude(pk=protocol.pk)
    if name in taken or others.exists():
        raise BadProtocol("name", f"expected one that no other protocol of the project has, found {name!r}")


def _freeze(protocol: Protocol) -> None:
    content = questions.as_content(questions.of_protocol(protocol))
    ProtocolRevision.objects.get_or_create(
        protocol=protocol, revision=protocol.revision,
        defaults={"guideline_revision": protocol.guideline_revision, "content": content},
    )  # fmt: skip
