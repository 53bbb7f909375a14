"""Tasks whose right answer is known, out of a JSONL file. Good rows come out, bad rows are named by their line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from annotate import answers, questions
from annotate.answers import KEYS, BadAnswer, Sheet
from annotate.imports import MAX_BYTES
from annotate.models import Protocol
from rlhf.errors import Refusal
from rlhf.models import MAX_TEXT
from rlhf.prompt_files import BadRow
from rlhf.prompts import BadPrompt, NewPrompt, from_row

MAX_ROWS = 1_000
MAX_EXPLANATION = 5_000  # characters
EXPECTED = (
    'JSONL rows {"prompt" or "messages", "completions": [texts], "ranks": [one per completion, 1 is best]} and, '
    'where the protocol asks for them, "flags": [a list of names per completion], "safety", "category", "all_bad"; '
    '"explanation" is Markdown'
)
PARTS = ("all_bad", "ranks", "flags", "safety", "category")  # of a known answer, in the order in which they are checked
KNOWN = frozenset({"prompt", "messages", "completions", "explanation", *PARTS})


class BadGold(Refusal):
    pass


@dataclass(frozen=True)
class GoldTask:
    prompt: NewPrompt
    completions: tuple[str, ...]
    expected: dict[str, Any]  # as Task.expected: ranks and flags in the order of the completions
    explanation: str


@dataclass(frozen=True)
class GoldFile:
    tasks: tuple[GoldTask, ...]
    bad_rows: tuple[BadRow, ...]


def parse(*, name: str, content: bytes, protocol: Protocol) -> GoldFile:
    """Read a JSONL file for this protocol. Raises BadGold when there is no good row in it."""
    if len(content) > MAX_BYTES:
        raise BadGold(f"{name}: expected at most 20 MB, found {len(content) / 1024**2:.1f} MB")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadGold(f"{name}: expected UTF-8 text, found byte {content[error.start]:#04x}") from error
    good, bad = [], []
    for line, row in _rows(text):
        try:
            good.append(_task(row, protocol))
        except (BadGold, BadPrompt, BadAnswer) as error:
            bad.append(BadRow(line, error.message))
    if not good:
        found = f"{len(bad)} bad rows (line {bad[0].line}: {bad[0].message})" if bad else "no rows"
        raise BadGold(f"{name}: expected {EXPECTED}; found {found}")
    if len(good) > MAX_ROWS:
        raise BadGold(f"{name}: expected at most {MAX_ROWS:,} rows, found {len(good):,}")
    return GoldFile(tuple(good), tuple(bad))


def _rows(text: str) -> Iterator[tuple[int, str]]:
    return ((line, row) for line, row in enumerate(text.split("\n"), 1) if row.strip())


def _task(line: str, protocol: Protocol) -> GoldTask:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:  # also for numbers too long to read
        raise BadGold(f"expected a JSON object, found {line.strip()[:60]!r} ({error})") from error
    if not isinstance(row, dict):
        raise BadGold(f"expected a JSON object, found {type(row).__name__}")
    if unknown := sorted(set(row) - KNOWN):
        raise BadGold(f"expected some of {', '.join(sorted(KNOWN))}, found {', '.join(map(repr, unknown))[:100]}")
    prompt = from_row(row={name: row.get(name) for name in ("prompt", "messages")})
    shown = _completions(row.get("completions"), protocol)
    explanation = row.get("explanation") or ""
    if not isinstance(explanation, str) or len(explanation) > MAX_EXPLANATION or not _is_storable(explanation):
        raise BadGold(f"explanation: expected a text of at most {MAX_EXPLANATION:,} characters")
    return GoldTask(prompt, shown, _expected(row, shown, protocol), explanation)


def _completions(value: Any, protocol: Protocol) -> tuple[str, ...]:
    most = 2 if protocol.kind == Protocol.Kind.COMPARE else len(KEYS)
    if not isinstance(value, list) or not 2 <= len(value) <= most:
        expected = "2 texts" if most == 2 else f"2 to {most} texts"
        raise BadGold(f"completions: expected a list of {expected}, found {_size(value)}")
    for text in value:
        if not isinstance(text, str) or not text.strip() or len(text) > MAX_TEXT or not _is_storable(text):
            raise BadGold(f"completions: expected texts of at most {MAX_TEXT:,} characters, found {repr(text)[:60]}")
    return tuple(value)


def _expected(row: dict[str, Any], shown: tuple[str, ...], protocol: Protocol) -> dict[str, Any]:
    """The known parts of the answer, each checked as the answer of a person would be."""
    sheet = Sheet(questions.of_protocol(protocol), KEYS[: len(shown)], dict(zip(KEYS, shown, strict=False)).__getitem__)
    body: dict[str, Any] = {}
    for name in PARTS:
        if row.get(name) is None and name != "ranks":
            continue
        if name not in sheet.fields:
            raise BadGold(f"{name}: {protocol.name} does not ask for it")
        body[name] = answers.CHECKS[name](sheet, _by_key(name, row.get(name), sheet.keys), body)
    for name in ("ranks", "flags"):
        if name in body:
            body[name] = [body[name][key] for key in sheet.keys]
    return {name: value for name, value in body.items() if value is not None}


def _by_key(name: str, value: Any, keys: str) -> Any:
    """Lists stand in the order of the completions; answers name them by key."""
    if name not in ("ranks", "flags"):
        return value
    if not isinstance(value, list) or len(value) != len(keys):
        raise BadGold(f"{name}: expected a list with one for each of the {len(keys)} completions, found {_size(value)}")
    return dict(zip(keys, value, strict=True))


def _size(value: Any) -> str:
    return f"a list of {len(value)}" if isinstance(value, list) else repr(value)[:60]


def _is_storable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text
