"""Demonstrations from a file. Good rows land, bad rows are named by their line, and importing twice imports once."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from django.db import transaction

from annotate.models import Demonstration
from rlhf import prompts
from rlhf.errors import Refusal
from rlhf.models import MAX_TEXT, Project
from rlhf.prompt_files import BadRow
from rlhf.prompts import BadPrompt, NewPrompt, new_prompt

BATCH = 500  # rows per write transaction
MAX_BYTES = 20 * 1024 * 1024
EXPECTED = 'JSONL rows {"prompt", "completion"}, or {"messages"} that end with the assistant\'s'


class BadDemonstration(Refusal):
    pass


class BadDemonstrationFile(Refusal):
    pass


@dataclass(frozen=True)
class NewDemonstration:
    prompt: NewPrompt
    text: str


@dataclass(frozen=True)
class DemonstrationFile:
    demonstrations: tuple[NewDemonstration, ...]
    bad_rows: tuple[BadRow, ...]


@dataclass(frozen=True)
class Imported:
    num_added: int
    num_duplicates: int


def parse(*, name: str, content: bytes) -> DemonstrationFile:
    """Read a JSONL file. Raises BadDemonstrationFile when there is no good row in it."""
    if len(content) > MAX_BYTES:
        raise BadDemonstrationFile(f"{name}: expected at most 20 MB, found {len(content) / 1024**2:.1f} MB")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadDemonstrationFile(f"{name}: expected UTF-8 text, found byte {content[error.start]:#04x}") from error
    good, bad = [], []
    for line, row in enumerate(text.split("\n"), 1):
        if row.strip():
            try:
                good.append(_parsed(row))
            except (BadDemonstration, BadPrompt) as error:
                bad.append(BadRow(line, error.message))
    if not good:
        found = f"{len(bad)} bad rows (line {bad[0].line}: {bad[0].message})" if bad else "no rows"
        raise BadDemonstrationFile(f"{name}: expected {EXPECTED}; found {found}")
    return DemonstrationFile(tuple(good), tuple(bad))


def new_demonstration(*, prompt: object, completion: object) -> NewDemonstration:
    """A checked demonstration. Raises BadPrompt or BadDemonstration."""
    checked = new_prompt(value=prompt)
    if not isinstance(completion, str) or not completion.strip():
        raise BadDemonstration("expected a completion that is not empty")
    if len(completion) > MAX_TEXT or "\0" in completion:
        raise BadDemonstration(f"expected a completion of at most {MAX_TEXT:,} characters, and no NUL among them")
    try:
        completion.encode()
    except UnicodeEncodeError as error:
        raise BadDemonstration("expected Unicode text, found half a surrogate pair") from error
    return NewDemonstration(checked, completion)


def add(*, project: Project, demonstrations: Iterable[NewDemonstration], source: str = "import") -> Imported:
    """Store demonstrations, and prompts that the project does not have; known ones are counted and left alone."""
    num_added = num_seen = 0
    for batch in _batches(demonstrations):
        prompts.add(project=project, prompts=[demonstration.prompt for demonstration in batch], source=source)
        num_added += _add_batch(project, batch, source)
        num_seen += len(batch)
    return Imported(num_added, num_seen - num_added)


def _add_batch(project: Project, batch: list[NewDemonstration], source: str) -> int:
    wanted = {(prompts.sha256_of(messages=new.prompt.messages), new.text): new for new in batch}
    shas = {sha256 for sha256, _ in wanted}
    with transaction.atomic():
        ids = dict(project.prompts.select_for_update(no_key=True).filter(sha256__in=shas).values_list("sha256", "pk"))
        known = project.demonstrations.filter(prompt__in=ids.values(), submission=None)
        there = set(known.values_list("prompt__sha256", "text"))
        rows = [
            Demonstration(project=project, prompt_id=ids[sha256], text=text, source=source)
            for sha256, text in wanted
            if (sha256, text) not in there
        ]
        Demonstration.objects.bulk_create(rows)
    return len(rows)


def _parsed(line: str) -> NewDemonstration:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:  # also for numbers too long to read
        raise BadDemonstration(f"expected a JSON object, found {line.strip()[:60]!r} ({error})") from error
    if not isinstance(row, dict):
        raise BadDemonstration(f"expected a JSON object, found {type(row).__name__}")
    messages = row.get("messages")
    if messages is None or "completion" in row:
        return new_demonstration(prompt=messages or row.get("prompt"), completion=row.get("completion"))
    if not isinstance(messages, list) or not messages or not isinstance(messages[-1], dict):
        raise BadDemonstration("expected messages to be a list of messages")
    if messages[-1].get("role") != "assistant":
        raise BadDemonstration(f"expected the last message to be the assistant's, found {messages[-1].get('role')!r}")
    return new_demonstration(prompt=messages[:-1], completion=messages[-1].get("content"))


def _batches(demonstrations: Iterable[NewDemonstration]) -> Iterator[list[NewDemonstration]]:
    source = iter(demonstrations)
    while batch := list(itertools.islice(source, BATCH)):
        yield batch
