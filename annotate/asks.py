"""What a task asks, in words of the interface language: labels for the levels, flags and reasons that a person sees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from annotate.answers import Sheet
from annotate.models import Protocol
from annotate.questions import LANGUAGE, RATINGS, Choice

Strength = Protocol.Strength
LEVELS: dict[str, tuple[tuple[int, str | Promise], ...]] = {
    Strength.FOUR: (
        (4, _("significantly better")),
        (3, _("better")),
        (2, _("slightly better")),
        (1, _("negligibly better or unsure")),
    ),
    Strength.SEVEN: (
        (3, _("much better")),
        (2, _("better")),
        (1, _("slightly better")),
        (0, _("about the same")),
    ),
}
SKIP_REASONS: tuple[tuple[str, str | Promise], ...] = (
    ("unknown_subject", _("I know too little about this")),
    ("unclear_prompt", _("The prompt makes no sense")),
    ("harmful", _("The content is harmful or upsetting")),
    ("broken_page", _("Something is broken on the page")),
)


def asks_json(sheet: Sheet) -> dict[str, Any]:
    """AsksSerializer's shape."""
    questions, fields = sheet.questions, sheet.fields
    language = get_language() or LANGUAGE
    return {
        "ties": "ranks" in fields and questions.allow_ties,
        "all_bad": "all_bad" in fields,
        "strength": _strength(sheet) if "strength" in fields else None,
        "rating": {"low": RATINGS[0], "high": RATINGS[-1]} if "ratings" in fields else None,
        "flags": _labelled(questions.flags, language) if "flags" in fields else [],
        "aspects": _labelled(questions.aspects, language) if "aspects" in fields else [],
        "pair_safety": "safety" in fields,
        "reason": {"min_characters": questions.reason_min_characters} if "reason" in fields else None,
        "edit": "edited" in fields,
        "categories": _labelled(questions.categories, language),
    }


def skip_reasons_json(sheet: Sheet) -> list[dict[str, str]]:
    """The protocol's own reasons, else those that fit everywhere."""
    if sheet.questions.skip_reasons:
        return _labelled(sheet.questions.skip_reasons, get_language() or LANGUAGE)
    return [{"name": name, "label": str(label)} for name, label in SKIP_REASONS]


def _strength(sheet: Sheet) -> dict[str, Any]:
    scale = sheet.questions.strength
    can_tie = sheet.questions.allow_ties or sheet.questions.allow_all_bad
    levels = [{"value": value, "label": str(label)} for value, label in LEVELS[scale] if value or can_tie]
    return {"scale": scale, "levels": levels}


def _labelled(choices: Sequence[Choice], language: str) -> list[dict[str, str]]:
    return [{"name": choice.name, "label": choice.label(language)} for choice in choices]
