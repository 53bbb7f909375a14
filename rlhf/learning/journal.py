"""`journal.jsonl` of a run folder: what was paid for once (answers of a server, scores) and is not asked for again.

A line per entry, appended as it comes. A crash leaves at most one half line, which is cut off at the next start.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NAME = "journal.jsonl"


class Journal:
    """Values by key, in memory and in the file."""

    def __init__(self, path: Path, *, writes: bool = True) -> None:
        """Args:
        writes: False for one of several processes that make the same entries, of which another writes them.
        """
        self.path, self.writes = path, writes
        self.values: dict[str, Any] = {}
        if not path.exists():
            return
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(path, whole)
        for line in content[:whole].splitlines():
            entry = json.loads(line)
            self.values[entry["key"]] = entry["value"]

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def __getitem__(self, key: str) -> Any:
        return self.values[key]

    def put(self, key: str, value: Any) -> None:
        """Add an entry; it is in the hands of the operating system when this returns."""
        self.put_all({key: value})

    def put_all(self, entries: Mapping[str, Any]) -> None:
        self.values |= entries
        lines = [json.dumps({"key": key, "value": value}) + "\n" for key, value in entries.items()]
        if self.writes:
            with self.path.open("a", encoding="utf-8") as file:
                file.write("".join(lines))


def key_of(*parts: Any) -> str:
    """A key for JSON values: equal parts have equal keys, and no two others are likely to."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
