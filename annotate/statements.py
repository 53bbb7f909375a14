"""Statements of the labeling round trip as SQL text, for both databases.

The ORM takes several times as long to write such a statement as the database takes to run it, and a labeler waits for
some twenty of them. What is rare stays in the ORM.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from django.db import connection

Parameter = int | str | datetime | None


def rows(sql: str, **parameters: Parameter) -> list[tuple[Any, ...]]:
    """All rows of a SELECT, or of a RETURNING."""
    with connection.cursor() as cursor:
        cursor.execute(sql, _stored(parameters))
        return list(cursor.fetchall())


def change(sql: str, **parameters: Parameter) -> int:
    """The number of rows that the statement changed."""
    with connection.cursor() as cursor:
        cursor.execute(sql, _stored(parameters))
        return int(cursor.rowcount)


def locked(sql: str) -> str:
    """The SELECT, holding its rows until the transaction ends; SQLite has one writer, who holds everything."""
    return f"{sql} FOR UPDATE" if connection.features.has_select_for_update else sql


def from_json(value: Any) -> Any:
    """A JSON column as both drivers hand it out: as text."""
    return json.loads(value)


def _stored(parameters: dict[str, Parameter]) -> dict[str, Any]:
    as_stored = connection.ops.adapt_datetimefield_value
    return {name: as_stored(value) if isinstance(value, datetime) else value for name, value in parameters.items()}
