"""A reviewer's plain form, as an answer: annotate/answers.py checks it like everybody's."""

from __future__ import annotations

from typing import Any

from django.http import QueryDict

from annotate.answers import Sheet


def given_by(*, post: QueryDict, sheet: Sheet) -> dict[str, Any]:
    """Fields: rank-a, rating-a, flag-a (a name each), aspect-NAME-a, strength, safety, all_bad, reason, category."""
    keys, fields = sheet.keys, sheet.fields
    all_bad = post.get("all_bad") == "on"
    given: dict[str, Any] = {
        "ranks": dict.fromkeys(keys, 1) if all_bad else _competition(_by_key(post, "rank", keys)),
        "all_bad": all_bad or None,
        "strength": _number(post.get("strength")),
        "safety": post.get("safety") or None,
        "reason": post.get("reason") or None,
        "category": post.get("category") or None,
    }
    if "ratings" in fields:
        given["ratings"] = _by_key(post, "rating", keys)
    if "flags" in fields:
        given["flags"] = {key: post.getlist(f"flag-{key}") for key in keys}
    if "aspects" in fields:
        names = [aspect.name for aspect in sheet.questions.aspects]
        given["aspects"] = {name: _competition(_by_key(post, f"aspect-{name}", keys)) for name in names}
    return given


def _by_key(post: QueryDict, name: str, keys: str) -> dict[str, int | None]:
    return {key: _number(post.get(f"{name}-{key}")) for key in keys}


def _competition(ranks: dict[str, int | None]) -> dict[str, int | None]:
    """Without gaps: who puts two answers in places 1 and 3 means the first and the second."""
    used = sorted({rank for rank in ranks.values() if rank is not None})
    return {key: used.index(rank) + 1 if rank is not None else None for key, rank in ranks.items()}


def _number(value: str | None) -> int | None:
    return int(value) if value and value.isascii() and value.isdigit() and len(value) < 4 else None
