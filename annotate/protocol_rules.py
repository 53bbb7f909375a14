"""What a protocol may say: the bounds of every field, and which questions go together."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from django.conf import settings

from annotate.models import Protocol
from annotate.questions import LANGUAGE
from rlhf.errors import Refusal

MAX_NAME = 80
MAX_GUIDELINES = 20_000
MAX_WARNING = 300
MAX_CHOICES = 30  # of a list
MAX_LABEL = 200
SLUG = re.compile(r"[a-z0-9][a-z0-9_]{0,39}")
NUMBERS = {
    "num_completions": (2, 9),
    "overlap": (1, 20),
    "lease_minutes": (1, 1_440),
    "gold_percent": (0, 50),
    "qualification_size": (0, 50),
    "qualification_percent": (1, 100),
}
OPTIONAL_NUMBERS = {"reason_min_characters": (0, 2_000), "daily_limit": (1, 10_000)}
FLAGS = (
    "allow_ties", "allow_all_bad", "rate_completions", "ask_pair_safety", "edit_best", "confirm_guidelines",
    "auto_pause",
)  # fmt: skip
LISTS = ("flags", "aspects", "categories", "skip_reasons")
OF_COMPLETIONS = ("allow_all_bad", "strength", "rate_completions", "flags", "aspects", "ask_pair_safety", "edit_best")
KNOWN_ANSWERS = ("gold_percent", "qualification_size")  # need tasks whose right answer is known
OF_TWO = ("strength", "aspects", "ask_pair_safety")
WRITTEN = (Protocol.Kind.DEMONSTRATE, Protocol.Kind.PROMPT)


class BadProtocol(Refusal):
    """`extra["field"]` names the field of the protocol that is wrong."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"protocol.{field}: {message}", field=field)
        self.reason = message


def check(*, kind: str, values: Mapping[str, Any]) -> None:
    """Raises BadProtocol that names the field, what was found and what was expected. `values` has every field."""
    for field, test in FIELDS.items():
        test(field, values[field])
    if kind == Protocol.Kind.COMPARE and values["num_completions"] != 2:
        raise BadProtocol("num_completions", "a comparison shows exactly 2 answers")
    if kind in WRITTEN:
        _refuse(values, OF_COMPLETIONS, "there are no answers to judge where one is written")
        _refuse(values, KNOWN_ANSWERS, "what people write has no known answer")
    elif values["num_completions"] != 2:
        _refuse(values, OF_TWO, f"asked of two answers only, found {values['num_completions']} to rank")


def _refuse(values: Mapping[str, Any], fields: tuple[str, ...], reason: str) -> None:
    for field in fields:
        if values[field]:
            raise BadProtocol(field, reason)


def _number(field: str, value: Any) -> None:
    low, high = NUMBERS.get(field) or OPTIONAL_NUMBERS[field]
    if type(value) is not int or not low <= value <= high:
        raise BadProtocol(field, f"expected a whole number from {low} to {high:,}, found {value!r}")


def _optional_number(field: str, value: Any) -> None:
    if value is not None:
        _number(field, value)


def _flag(field: str, value: Any) -> None:
    if type(value) is not bool:
        raise BadProtocol(field, f"expected true or false, found {value!r}")


def _strength(field: str, value: Any) -> None:
    if value not in Protocol.Strength.values:
        raise BadProtocol(field, f"expected one of {Protocol.Strength.values}, found {value!r}")


def _text(limit: int) -> Callable[[str, Any], None]:
    def test(field: str, value: Any) -> None:
        if not isinstance(value, str) or len(value) > limit or "\0" in value:
            found = f"{len(value):,} characters" if isinstance(value, str) else repr(value)
            raise BadProtocol(field, f"expected a text of at most {limit:,} characters, found {found}")

    return test


def _name(field: str, value: Any) -> None:
    _text(MAX_NAME)(field, value)
    if not value.strip():
        raise BadProtocol(field, "expected a name, found nothing in it")


def _translations(field: str, value: Any) -> None:
    others = [code for code, _ in settings.LANGUAGES if code != LANGUAGE]
    if not isinstance(value, dict) or not set(value) <= set(others):
        raise BadProtocol(field, f"expected texts by language, some of {', '.join(others)}, found {value!r}"[:300])
    for text in value.values():
        _text(MAX_GUIDELINES)(field, text)


def _choices(field: str, value: Any) -> None:
    if not isinstance(value, list) or len(value) > MAX_CHOICES:
        found = f"{len(value)} of them" if isinstance(value, list) else repr(value)[:80]
        raise BadProtocol(field, f"expected a list of at most {MAX_CHOICES} choices, found {found}")
    seen: set[str] = set()
    for number, item in enumerate(value, 1):
        check_choice(field=field, place=f"choice {number}", value=item)
        if item["name"] in seen:
            raise BadProtocol(field, f"choice {number}: expected a name of its own, found {item['name']!r} again")
        seen.add(item["name"])


def check_choice(*, field: str, place: str, value: Any) -> None:
    """Raises BadProtocol that says where, for what is no {"name", "labels": {language: text}}."""
    if not isinstance(value, dict) or set(value) != {"name", "labels"} or not isinstance(value["labels"], dict):
        raise BadProtocol(field, f'{place}: expected {{"name", "labels"}}, found {value!r}'[:300])
    name, labels = value["name"], value["labels"]
    if not isinstance(name, str) or not SLUG.fullmatch(name):
        expected = "a name of at most 40 small letters, digits and underscores"
        raise BadProtocol(field, f"{place}: expected {expected}, found {name!r}"[:300])
    if not isinstance(labels.get(LANGUAGE), str) or not labels[LANGUAGE].strip():
        raise BadProtocol(field, f"{place}: expected an English text, found none")
    for text in labels.values():
        if not isinstance(text, str) or len(text) > MAX_LABEL or "\0" in text:
            raise BadProtocol(field, f"{place}: expected texts of at most {MAX_LABEL} characters, found {text!r}"[:300])


FIELDS: dict[str, Callable[[str, Any], None]] = {
    "name": _name,
    **dict.fromkeys(NUMBERS, _number),
    **dict.fromkeys(OPTIONAL_NUMBERS, _optional_number),
    **dict.fromkeys(FLAGS, _flag),
    "strength": _strength,
    "guidelines": _text(MAX_GUIDELINES),
    "guideline_translations": _translations,
    "content_warning": _text(MAX_WARNING),
    **dict.fromkeys(LISTS, _choices),
}
