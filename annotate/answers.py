"""What an answer must contain: the one check of a body against what its protocol revision asks, and the stored form.

Whatever is wrong is a BadAnswer that names the field; nothing is stored then. The stored form says the same thing in
one way only: dense ranks, flags in the protocol's order, nothing where nothing was said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from annotate.models import Protocol
from annotate.questions import PAIR_SAFETY, RATINGS, STRENGTHS, Choice, Questions
from rlhf import prompts
from rlhf.errors import Refusal
from rlhf.models import MAX_TEXT

KEYS = "abcdefghi"  # completions are named by their place on screen
MAX_REASON = 10_000  # characters
WRITTEN = (Protocol.Kind.DEMONSTRATE, Protocol.Kind.PROMPT)
Body = dict[str, Any]


class BadAnswer(Refusal):
    """`extra["field"]` names the part of the answer that is wrong."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}", field=field)


@dataclass(frozen=True)
class Sheet:
    """What a person had before them: the questions, and the completions by the keys of their screen."""

    questions: Questions
    keys: str  # of the completions shown, "" where none are
    text_of: Callable[[str], str]  # the completion behind a key

    @property
    def is_pair(self) -> bool:
        return len(self.keys) == 2

    @property
    def fields(self) -> frozenset[str]:
        """The fields that this task asks for, or takes."""
        return frozenset(name for name, is_asked in _asked(self.questions, self.is_pair).items() if is_asked)


def checked(*, sheet: Sheet, given: Mapping[str, Any]) -> Body:
    """The answer in the form that is stored; checking that again changes nothing. Raises BadAnswer."""
    said = {name: value for name, value in given.items() if value is not None}
    for name in sorted(said):
        if name not in sheet.fields:
            raise BadAnswer(shown_name(name), "this task does not ask for it")
    body: Body = {}
    for name, check in CHECKS.items():  # in an order in which each needs only what was checked before it
        if name in sheet.fields:
            value = check(sheet, said.get(name), body)
            if value is not None:
                body[name] = value
    return body


def dense(ranks: Mapping[str, int]) -> dict[str, int]:
    """The same order with ranks 1, 2, 3 ... without gaps; equal ranks stay equal."""
    place = {rank: index for index, rank in enumerate(sorted(set(ranks.values())), 1)}
    return {key: place[ranks[key]] for key in sorted(ranks)}


def shown_name(name: str) -> str:
    """The name of a field as a client sent it, in a form that a reply can carry."""
    return name if name.isascii() and name.isidentifier() else _shown(name)


def _asked(questions: Questions, is_pair: bool) -> dict[str, bool]:
    is_written = questions.kind in WRITTEN
    return {
        "text": is_written,
        "category": bool(questions.categories),
        "ranks": not is_written,
        "all_bad": not is_written and questions.allow_all_bad,
        "strength": is_pair and bool(questions.strength),
        "ratings": not is_written and questions.rate_completions,
        "flags": not is_written and bool(questions.flags),
        "safety": is_pair and questions.ask_pair_safety,
        "aspects": is_pair and bool(questions.aspects),
        "reason": questions.reason_min_characters is not None,
        "edited": not is_written and questions.edit_best,
    }


def _text(sheet: Sheet, value: Any, _body: Body) -> str:
    text = _storable("text", value, MAX_TEXT)
    if not text.strip():
        raise BadAnswer("text", _("expected a text, found nothing in it"))
    if sheet.questions.kind == Protocol.Kind.PROMPT:
        try:
            prompts.new_prompt(value=text)
        except prompts.BadPrompt as error:
            raise BadAnswer("text", error.message) from error
    return text


def _category(sheet: Sheet, value: Any, _body: Body) -> str:
    return _one_of("category", value, _names(sheet.questions.categories))


def _all_bad(_sheet: Sheet, value: Any, _body: Body) -> bool | None:
    """None for false: what is not offered and what is not said are stored alike."""
    if value is not None and not isinstance(value, bool):
        raise BadAnswer("all_bad", f"expected true or false, found {_shown(value)}")
    return value or None


def _ranks(sheet: Sheet, value: Any, body: Body) -> dict[str, int]:
    ranks = _order("ranks", value, sheet.keys)
    if body.get("all_bad"):  # a tie of its own kind, offered or not beside the others
        if max(ranks.values()) > 1:
            raise BadAnswer("ranks", _("expected equal ranks where none of the answers will do"))
    elif not sheet.questions.allow_ties and max(ranks.values()) < len(ranks):
        raise BadAnswer("ranks", _("this task allows no ties: every answer needs a rank of its own"))
    return ranks


def _strength(sheet: Sheet, value: Any, body: Body) -> int | None:
    scale = sheet.questions.strength
    is_tied = _is_tied(body)
    if is_tied and scale == Protocol.Strength.FOUR:
        if value is not None:
            raise BadAnswer("strength", f"a tie has no strength, found {_shown(value)}")
        return None
    levels = (0,) if is_tied else tuple(level for level in STRENGTHS[Protocol.Strength(scale)] if level)
    if value is None and is_tied:
        return 0
    if type(value) is not int or value not in levels:
        expected = f"from {levels[0]} to {levels[-1]}" if not is_tied else "0 for a tie"
        raise BadAnswer("strength", f"expected how much better, {expected}, found {_shown(value)}")
    return value


def _ratings(sheet: Sheet, value: Any, _body: Body) -> dict[str, int]:
    given = _by_key("ratings", value, sheet.keys)
    for key, rating in given.items():
        if type(rating) is not int or rating not in RATINGS:
            found = f"{_shown(rating)} for {key}"
            raise BadAnswer("ratings", f"expected whole numbers from {RATINGS[0]} to {RATINGS[-1]}, found {found}")
    return given


def _flags(sheet: Sheet, value: Any, _body: Body) -> dict[str, list[str]]:
    names = _names(sheet.questions.flags)
    given = _by_key("flags", value, sheet.keys)
    for key, raised in given.items():
        if not isinstance(raised, list):
            raise BadAnswer("flags", f"expected a list of names for {key}, found {_shown(raised)}")
        for name in raised:
            _one_of("flags", name, names)
    return {key: [name for name in names if name in raised] for key, raised in given.items()}


def _safety(sheet: Sheet, value: Any, body: Body) -> str:
    return _one_of("safety", value, PAIR_SAFETY[1:] if _is_tied(body) else PAIR_SAFETY)


def _aspects(sheet: Sheet, value: Any, _body: Body) -> dict[str, dict[str, int]]:
    """A preference for each aspect; two answers may be equal in one, whatever holds for the ranks."""
    names = _names(sheet.questions.aspects)
    if not isinstance(value, dict) or set(value) != set(names):
        raise BadAnswer("aspects", f"expected ranks for each of {', '.join(names)}, found {_shown(value)}")
    return {name: _order("aspects", value[name], sheet.keys) for name in names}


def _reason(sheet: Sheet, value: Any, _body: Body) -> str | None:
    minimum = sheet.questions.reason_min_characters or 0
    reason = "" if value is None else _storable("reason", value, MAX_REASON)
    if (length := len(reason.strip())) < minimum:
        sizes = {"least": minimum, "found": length}
        raise BadAnswer("reason", _("expected at least %(least)s characters, found %(found)s") % sizes)
    return reason if reason.strip() else None


def _edited(sheet: Sheet, value: Any, body: Body) -> dict[str, str] | None:
    if value is None:
        return None
    if not isinstance(value, dict) or set(value) != {"key", "text"}:
        raise BadAnswer("edited", f'expected {{"key", "text"}}, found {_shown(value)}')
    best = [key for key, rank in body["ranks"].items() if rank == 1]
    key = _one_of("edited", value["key"], best)
    text = _storable("edited", value["text"], MAX_TEXT)
    if not text.strip():
        raise BadAnswer("edited", _("expected a text, found nothing in it"))
    if text.strip() == sheet.text_of(key).strip():
        raise BadAnswer("edited", _("expected another text than that of %s, found the same") % key.upper())
    return {"key": key, "text": text}


CHECKS: dict[str, Callable[[Sheet, Any, Body], Any]] = {
    "text": _text,
    "category": _category,
    "all_bad": _all_bad,
    "ranks": _ranks,
    "strength": _strength,
    "ratings": _ratings,
    "flags": _flags,
    "safety": _safety,
    "aspects": _aspects,
    "reason": _reason,
    "edited": _edited,
}


def _order(field: str, value: Any, keys: str) -> dict[str, int]:
    """Dense ranks from dense or competition ranks, one for each key."""
    given = _by_key(field, value, keys)
    for key, rank in given.items():
        if type(rank) is not int or not 1 <= rank <= len(keys):
            raise BadAnswer(field, f"expected ranks from 1 to {len(keys)}, found {_shown(rank)} for {key}")
    competition = {key: 1 + sum(other < rank for other in given.values()) for key, rank in given.items()}
    if given not in (competition, dense(given)):
        found = sorted(given.values())
        raise BadAnswer(field, f"expected ranks from 1 without gaps (1 2 2 3 or 1 2 2 4), found {found}")
    return dense(given)


def _by_key(field: str, value: Any, keys: str) -> dict[str, Any]:
    """The value of each key in the order of the screen."""
    if not isinstance(value, dict) or set(value) != set(keys):
        noun = {"ranks": "a rank", "ratings": "a rating", "flags": "a list", "aspects": "a rank"}[field]
        found = ", ".join(sorted(map(_shown, value))) if isinstance(value, dict) else _shown(value)
        raise BadAnswer(field, f"expected {noun} for each of {', '.join(keys)}, found {found[:100] or 'none'}")
    return {key: value[key] for key in keys}


def _storable(field: str, value: Any, limit: int) -> str:
    """Text that is short enough, and that PostgreSQL can hold."""
    if not isinstance(value, str):
        raise BadAnswer(field, f"this task expects a text, found {_shown(value)}")
    if len(value) > limit:
        sizes = {"most": f"{limit:,}", "found": f"{len(value):,}"}
        raise BadAnswer(field, _("expected at most %(most)s characters, found %(found)s") % sizes)
    if "\0" in value:
        raise BadAnswer(field, _("expected text, found a NUL character"))
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise BadAnswer(field, _("expected Unicode text, found half a surrogate pair")) from error
    return value


def _one_of(field: str, value: Any, names: Sequence[str]) -> str:
    if not isinstance(value, str) or value not in names:
        raise BadAnswer(field, f"expected one of {', '.join(names)}, found {_shown(value)}")
    return value


def _is_tied(body: Body) -> bool:
    return len(set(body["ranks"].values())) == 1


def _names(choices: Sequence[Choice]) -> list[str]:
    return [choice.name for choice in choices]


def _shown(value: Any) -> str:
    """A value as a message quotes it: short, and printable whatever it is."""
    try:
        text = "nothing" if value is None else repr(value)
    except RecursionError:
        text = "something deeply nested"
    return text if len(text) <= 80 else text[:79] + "…"
