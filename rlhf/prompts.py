"""Prompts come in here, in bulk and once each; the side of the split is a hash, so it never changes its mind.

Two conversations with the same opening question share a side, however they differ in case, spaces or punctuation.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import ProtectedError, QuerySet

from rlhf.errors import Refusal
from rlhf.models import MAX_TEXT, Project, Prompt, Split

BATCH = 500  # rows per write transaction: SQLite has one writer, and labelers wait behind it
MAX_MESSAGES = 100
MAX_TARGET = 2_000  # characters
TRY = "try"  # source of prompts typed to try a version: answered, but not annotated and not learned from
GOLD = "gold"  # source of prompts that came with a known answer: they test people, and teach no model
ASIDE = (TRY, GOLD)
ROLES = ("system", "user", "assistant")
Message = dict[str, str]


class BadPrompt(Refusal):
    pass


@dataclass(frozen=True)
class NewPrompt:
    messages: tuple[Message, ...]
    category: str = ""
    target: str = ""  # what a verifier compares answers with


@dataclass(frozen=True)
class Added:
    num_added: int
    num_duplicates: int


def new_prompt(*, value: object, category: object = "", target: object = "") -> NewPrompt:
    """A checked prompt from a text (one question) or a list of messages. Raises BadPrompt."""
    messages = ({"role": "user", "content": value},) if isinstance(value, str) else value
    if not isinstance(messages, (list, tuple)) or not 1 <= len(messages) <= MAX_MESSAGES:
        raise BadPrompt(f"expected a text or a list of 1 to {MAX_MESSAGES} messages, found {_shown(value)}")
    checked = tuple(_message(message, index) for index, message in enumerate(messages, 1))
    if checked[-1]["role"] != "user":
        raise BadPrompt(f"expected the last message to be the user's, found the {checked[-1]['role']}'s")
    if (length := sum(len(message["content"]) for message in checked)) > MAX_TEXT:
        raise BadPrompt(f"expected at most {MAX_TEXT:,} characters, found {length:,}")
    if not isinstance(category, str) or len(category.strip()) > 60 or "\0" in category:
        raise BadPrompt(f"expected a category of at most 60 characters, found {_shown(category)}")
    return NewPrompt(checked, category.strip(), _target(target))


def from_row(*, row: object) -> NewPrompt:
    """A checked prompt from an object with prompt or messages, perhaps a category and a target. Raises BadPrompt."""
    if not isinstance(row, dict):
        raise BadPrompt(f"expected a JSON object, found {type(row).__name__}")
    given = [key for key in ("prompt", "messages") if row.get(key) not in (None, "", [])]
    if len(given) != 1:
        found = "both" if given else f"neither among {', '.join(map(str, row)) or 'no keys'}"[:200]
        raise BadPrompt(f"expected either prompt or messages, found {found}")
    target = "" if row.get("target") is None else row["target"]
    return new_prompt(value=row[given[0]], category=row.get("category") or "", target=target)


def add(
    *, project: Project, prompts: Iterable[NewPrompt], source: str, author: User | None = None, split: str | None = None
) -> Added:
    """Store prompts, one transaction per batch; those that the project has already are counted and left alone.

    split: of all that are new, where a benchmark brings its own; None leaves it to the hash.
    """
    num_added = num_seen = 0
    for batch in _batches(prompts):
        rows = {(row := _row(project, prompt, source, author, split)).sha256: row for prompt in batch}
        with transaction.atomic():
            there = set(project.prompts.filter(sha256__in=rows).values_list("sha256", flat=True))
            missing = [row for sha256, row in rows.items() if sha256 not in there]
            Prompt.objects.bulk_create(missing, ignore_conflicts=True)
            # A prompt that was set aside so far is one of the project's own from now on.
            aside = project.prompts.filter(sha256__in=there, source__in=ASIDE)
            num_kept = 0 if source in ASIDE else aside.update(source=source)
        num_added += len(missing) + num_kept
        num_seen += len(batch)
    return Added(num_added, num_seen - num_added)


def remove_unused(*, project: Project, sha256: str, author: User) -> bool:
    """Delete a prompt of this author that nothing was made of yet: False, and nothing, for every other."""
    found = project.prompts.filter(sha256=sha256, author=author).filter(completions=None)
    try:
        with transaction.atomic():
            deleted, _ = found.delete()
    except ProtectedError:  # tasks, demonstrations or verdicts hold it
        return False
    return bool(deleted)


def annotated(*, project: Project) -> QuerySet[Prompt]:
    """The prompts that the loop labels, learns from and compares on."""
    return project.prompts.exclude(source__in=ASIDE)


def sha256_of(*, messages: Iterable[Message]) -> str:
    canonical = json.dumps(list(messages), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def split_of(*, project: Project, messages: Iterable[Message]) -> Split:
    """The side of a conversation: a hash of the project's salt and the opening question, near-duplicates alike."""
    opening = next((message["content"] for message in messages if message["role"] == "user"), "")
    root = " ".join(re.findall(r"\w+", opening.casefold())) or opening
    digest = hashlib.sha256(f"{project.salt}\n{root}".encode()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    return Split.HELD_OUT if share < project.held_out_share else Split.TRAIN


def _row(project: Project, prompt: NewPrompt, source: str, author: User | None, split: str | None) -> Prompt:
    return Prompt(
        project=project,
        messages=list(prompt.messages),
        sha256=sha256_of(messages=prompt.messages),
        split=split or split_of(project=project, messages=prompt.messages),
        category=prompt.category,
        target=prompt.target,
        source=source,
        author=author,
    )


def _target(value: object) -> str:
    """A number is as good as its text: JSON files of sums have them. Raises BadPrompt."""
    text = str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value
    if not isinstance(text, str) or len(text) > MAX_TARGET or "\0" in text:
        raise BadPrompt(f"expected a target of at most {MAX_TARGET:,} characters, found {_shown(value)}")
    return text.strip()


def _message(message: object, index: int) -> Message:
    if not isinstance(message, dict) or set(message) != {"role", "content"}:
        raise BadPrompt(f'message {index}: expected {{"role", "content"}}, found {_shown(message)}')
    role, content = message["role"], message["content"]
    if role not in ROLES:
        raise BadPrompt(f"message {index}: expected a role of {', '.join(ROLES)}, found {_shown(role)}")
    if not isinstance(content, str) or not content.strip():
        raise BadPrompt(f"message {index}: expected a text that is not empty, found {_shown(content)}")
    if "\0" in content:
        raise BadPrompt(f"message {index}: expected text, found a NUL character")
    try:
        content.encode()
    except UnicodeEncodeError as error:
        raise BadPrompt(f"message {index}: expected Unicode text, found half a surrogate pair") from error
    return {"role": role, "content": content}


def _shown(value: object) -> str:
    text = "nothing" if value is None or value == "" else repr(value)
    return text if len(text) <= 80 else text[:79] + "…"


def _batches(prompts: Iterable[NewPrompt]) -> Iterator[list[NewPrompt]]:
    source = iter(prompts)
    while batch := list(itertools.islice(source, BATCH)):
        yield batch
