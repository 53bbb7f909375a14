"""What one revision of a protocol asks, frozen: the page draws it, and an answer is checked against it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from annotate.models import Protocol

LANGUAGE = "en"  # every label has a text in it; other languages fall back to it
STRENGTHS = {Protocol.Strength.FOUR: (1, 2, 3, 4), Protocol.Strength.SEVEN: (0, 1, 2, 3)}
RATINGS = tuple(range(1, 8))
PAIR_SAFETY = ("chosen", "both", "neither")  # which of the two answers is safe (Llama 2: 2307.09288, section 3.2.1)


@dataclass(frozen=True)
class Choice:
    name: str  # as it is stored
    labels: Mapping[str, str]  # as it is shown, by interface language

    def label(self, language: str) -> str:
        return self.labels.get(language) or self.labels.get(LANGUAGE) or self.name


@dataclass(frozen=True)
class Questions:
    kind: str
    num_completions: int
    allow_ties: bool
    allow_all_bad: bool
    strength: str  # "", "four" or "seven": where two answers are shown
    rate_completions: bool
    flags: tuple[Choice, ...]
    aspects: tuple[Choice, ...]
    ask_pair_safety: bool
    reason_min_characters: int | None
    edit_best: bool
    categories: tuple[Choice, ...]
    skip_reasons: tuple[Choice, ...]
    guidelines: str
    guideline_translations: Mapping[str, str]
    content_warning: str
    guideline_revision: int

    def guidelines_in(self, language: str) -> str:
        return self.guideline_translations.get(language) or self.guidelines


CHOICES = ("flags", "aspects", "categories", "skip_reasons")
FIELDS = tuple(Questions.__dataclass_fields__)


def of_protocol(protocol: Protocol) -> Questions:
    """What the protocol asks at its current revision."""
    return of_content({name: getattr(protocol, name) for name in FIELDS})


def of_content(content: Mapping[str, Any]) -> Questions:
    """From ProtocolRevision.content."""
    known = {name: content[name] for name in FIELDS}
    for name in CHOICES:
        known[name] = tuple(Choice(choice["name"], choice["labels"]) for choice in known[name])
    return Questions(**known)


def as_content(questions: Questions) -> dict[str, Any]:
    """For ProtocolRevision.content: of_content(as_content(q)) == q."""
    return asdict(questions)
