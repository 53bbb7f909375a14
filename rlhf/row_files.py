"""Rows that come in from elsewhere, as a JSON list or JSONL: bounded, numbered, and all good or all refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from rlhf.errors import Refusal
from rlhf.models import MAX_TEXT

Row = TypeVar("Row")
MAX_BYTES = 20 * 1024 * 1024
MAX_NAMED = 100  # bad rows named in one refusal


class BadRows(Refusal):
    """Nothing was stored. `bad_rows` names up to 100 of them."""


class BadRow(Exception):
    """One row; its message says what was found and what was expected."""


def numbered(*, content: bytes) -> list[tuple[int, object]]:
    """Row number (of a JSON list from 1, of JSONL the line) and value; a line that is no JSON is a BadRow.

    Raises BadRows for too many bytes, or a content that is not UTF-8.
    """
    if len(content) > MAX_BYTES:
        raise BadRows(f"expected at most 20 MB, found {len(content) / 1024**2:.1f} MB: send it in parts", bad_rows=[])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        found = f"expected UTF-8 text, found byte {content[error.start]:#04x} in line {line}"
        raise BadRows(found, bad_rows=[]) from error
    return list(_listed(text) if text.lstrip()[:1] == "[" else _lines(text))


def checked(*, rows: Iterable[tuple[int, object]], read: Callable[[object], Row | None]) -> list[tuple[int, Row]]:
    """Every row as `read` has it, those that it leaves out (None) not among them. Raises BadRows, all of them named."""
    good: list[tuple[int, Row]] = []
    bad: list[tuple[int, str]] = []
    num_rows = 0
    for number, value in rows:
        num_rows += 1
        try:
            if isinstance(value, BadRow):
                raise value
            if (row := read(value)) is not None:
                good.append((number, row))
        except BadRow as error:
            bad.append((number, str(error)))
    refuse(bad=bad)
    if not num_rows:
        raise BadRows("expected at least one row, found none", bad_rows=[])
    return good


def refuse(*, bad: list[tuple[int, str]]) -> None:
    """Raises BadRows unless there is none."""
    if bad:
        named = [{"row": number, "message": message} for number, message in bad[:MAX_NAMED]]
        first = f"row {bad[0][0]}: {bad[0][1]}"
        raise BadRows(f"{len(bad)} bad rows, nothing was stored; {first}", bad_rows=named)


def text(value: object, name: str, *, most: int = MAX_TEXT, least: int = 1) -> str:
    """A text of `least` to `most` characters. Raises BadRow that names the key."""
    if not isinstance(value, str):
        raise BadRow(f"{name}: expected a text, found {shown(value)}")
    if not least <= len(value) <= most:
        raise BadRow(f"{name}: expected {least} to {most:,} characters, found {len(value):,}")
    if "\0" in value:
        raise BadRow(f"{name}: expected text, found a NUL character")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise BadRow(f"{name}: expected Unicode text, found half a surrogate pair") from error
    return value


def shown(value: object) -> str:
    found = "nothing" if value is None else repr(value)
    return found if len(found) <= 80 else f"{found[:79]}…"


def _listed(text: str) -> Iterator[tuple[int, object]]:
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadRows(f"expected a JSON list of rows, found none that can be read ({error})", bad_rows=[]) from error
    yield from enumerate(rows, 1)


def _lines(text: str) -> Iterator[tuple[int, object]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            yield number, json.loads(line)
        except (ValueError, RecursionError) as error:
            yield number, BadRow(f"expected a JSON object, found {line.strip()[:60]!r} ({error})")
