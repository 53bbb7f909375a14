"""Prompt files: JSONL and CSV as people have them. Good rows come out, bad rows are named by their line."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rlhf.errors import Refusal
from rlhf.prompts import BadPrompt, NewPrompt, from_row

MAX_BYTES = 20 * 1024 * 1024
EXPECTED = "a file of prompts: JSONL or CSV with a prompt or messages for every row, optionally a category and a target"


class BadPromptFile(Refusal):
    pass


@dataclass(frozen=True)
class BadRow:
    line: int
    message: str


@dataclass(frozen=True)
class PromptFile:
    prompts: tuple[NewPrompt, ...]
    bad_rows: tuple[BadRow, ...]


def parse(*, name: str, content: bytes) -> PromptFile:
    """Read a file named *.jsonl or *.csv.

    Raises BadPromptFile for a file that is too large, not UTF-8, of another kind, or without any good row.
    """
    if len(content) > MAX_BYTES:
        raise BadPromptFile(f"{name}: expected at most 20 MB, found {len(content) / 1024**2:.1f} MB")
    rows = _reader(name)(_text(name, content))
    prompts, bad_rows = [], []
    for line, value in rows:
        try:
            prompts.append(_checked(value))
        except BadPrompt as error:
            bad_rows.append(BadRow(line, error.message))
    if not prompts:
        found = f"{len(bad_rows)} bad rows (line {bad_rows[0].line}: {bad_rows[0].message})" if bad_rows else "no rows"
        raise BadPromptFile(f"{name}: expected {EXPECTED}; found {found}")
    return PromptFile(tuple(prompts), tuple(bad_rows))


def _reader(name: str) -> Callable[[str], Iterator[tuple[int, object]]]:
    ending = name.lower().rpartition(".")[2]
    if ending in ("jsonl", "ndjson"):
        return _jsonl
    if ending == "csv":
        return _csv
    raise BadPromptFile(f"{name}: expected a name that ends in .jsonl or .csv")


def _text(name: str, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise BadPromptFile(
            f"{name}: expected UTF-8 text, found byte {content[error.start]:#04x} in line {line}"
        ) from error


def _jsonl(text: str) -> Iterator[tuple[int, object]]:
    for line, row in enumerate(text.split("\n"), 1):
        if not row.strip():
            continue
        try:
            yield line, json.loads(row)
        except (ValueError, RecursionError) as error:  # also for numbers too long to read
            yield line, BadPrompt(f"expected a JSON object, found {row.strip()[:60]!r} ({error})")


def _csv(text: str) -> Iterator[tuple[int, object]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    columns: list[str] = []
    while True:
        line = reader.line_num + 1  # a quoted text may span lines: the row is named by its first
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, BadPrompt(f"expected a CSV row, found {error}")
            continue
        if row and columns:
            yield line, _csv_row(columns, row)
        elif row:
            columns = _columns([name.strip() for name in row])


def _columns(names: list[str]) -> list[str]:
    if not {"prompt", "messages"} & set(names):
        raise BadPromptFile(f"line 1: expected a column named prompt or messages, found {', '.join(names)[:200]}")
    return names


def _csv_row(columns: list[str], row: list[str]) -> object:
    if len(row) != len(columns):
        return BadPrompt(f"expected {len(columns)} columns, found {len(row)}")
    values: dict[str, object] = {name: text for name, text in zip(columns, row, strict=True) if text}
    if "messages" in values:
        try:
            values["messages"] = json.loads(str(values["messages"]))
        except (ValueError, RecursionError) as error:  # also for numbers too long to read
            return BadPrompt(f"column messages: expected a JSON list, found {error}")
    return values


def _checked(row: object) -> NewPrompt:
    if isinstance(row, BadPrompt):
        raise row
    return from_row(row=row)
