"""Bodies of rows, a JSON list or JSONL, of bounded size: read once, numbered, not yet checked."""

from __future__ import annotations

from typing import Any

from rest_framework.parsers import BaseParser

from rlhf.row_files import MAX_BYTES, numbered


class JSONRows(BaseParser):
    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        """Row numbers and values. Raises BadRows."""
        return numbered(content=stream.read(MAX_BYTES + 1))


class JSONLines(JSONRows):
    media_type = "application/jsonl"


class NewlineDelimited(JSONRows):
    media_type = "application/x-ndjson"
