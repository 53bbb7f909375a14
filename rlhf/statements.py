"""The statements of the busiest requests as SQL text, for both databases.

The ORM takes several times as long to write a statement as the database takes to run it, and a labeler waits for some
twenty of them at each answer. What is rare stays in the ORM.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Model

Parameter = int | float | str | datetime | None
MAX_ID = 2**63 - 1  # no row has a higher one, and SQLite can't be asked for it


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


def locked(sql: str, of: str = "", *, no_key: bool = False) -> str:
    """The SELECT, holding its rows until the transaction ends; SQLite has one writer, who holds everything. With
    `no_key` others may still refer to the rows."""
    strength = "FOR NO KEY UPDATE" if no_key else "FOR UPDATE"
    return f"{sql} {strength} {of}" if connection.features.has_select_for_update else sql


def from_json(value: Any) -> Any:
    """A JSON column as both drivers hand it out: as text."""
    return json.loads(value)


class Joined:
    """Whole rows of several models side by side, as instances: a select_related that is written once."""

    def __init__(self, models: dict[str, type[Model]], source: str) -> None:
        """`models` by their names in `source`, which is the SELECT from FROM on."""
        fields = [(name, field) for name, model in models.items() for field in model._meta.concrete_fields]
        self.models = [(model, [field.attname for field in model._meta.concrete_fields]) for model in models.values()]
        self.columns = [field.get_col(name) for name, field in fields]
        selected = ", ".join(f'{name}."{field.column}"' for name, field in fields)
        self.sql = f"SELECT {selected} {source}"
        self.converters: dict[str, list[tuple[int, Callable[..., Any], Any]]] = {}  # by kind of database

    def rows(self, *, lock: str = "", **parameters: Parameter) -> list[tuple[Any, ...]]:
        """A tuple of instances per row; None for the outer side of a LEFT JOIN where nothing is. `lock` names the
        table whose rows are held until the transaction ends."""
        sql = locked(self.sql, f"OF {lock}") if lock else self.sql
        return [self._instances(list(row)) for row in rows(sql, **parameters)]

    def _instances(self, row: list[Any]) -> tuple[Any, ...]:
        for index, convert, column in self._converters():
            row[index] = convert(row[index], column, connection)
        made, start = [], 0
        for model, names in self.models:
            values = row[start : start + len(names)]
            start += len(names)
            is_there = values[0] is not None  # the primary key comes first
            made.append(model.from_db(connection.alias, names, values) if is_there else None)
        return tuple(made)

    def _converters(self) -> Sequence[tuple[int, Callable[..., Any], Any]]:
        kind = connection.vendor
        if kind not in self.converters:
            self.converters[kind] = [
                (index, convert, column)
                for index, column in enumerate(self.columns)
                for convert in (*connection.ops.get_db_converters(column), *column.get_db_converters(connection))
            ]
        return self.converters[kind]


class Insert:
    """The INSERT of a model's rows: an objects.create that is written once."""

    def __init__(self, model: type[Model]) -> None:
        meta = model._meta
        self.model = model
        self.fields = [field for field in meta.local_concrete_fields if not field.primary_key]
        columns = ", ".join(f'"{field.column}"' for field in self.fields)
        values = ", ".join("%s" for _ in self.fields)
        self.sql = f'INSERT INTO "{meta.db_table}" ({columns}) VALUES ({values}) RETURNING "{meta.pk.column}"'  # noqa: S608 (ours)

    def create(self, **values: Any) -> Any:
        """The instance, stored. Raises IntegrityError as the ORM does."""
        made = self.model(**values)
        prepared = [field.get_db_prep_save(field.pre_save(made, True), connection) for field in self.fields]
        with connection.cursor() as cursor:
            cursor.execute(self.sql, prepared)
            (made.pk,) = cursor.fetchone()
        made._state.adding, made._state.db = False, connection.alias
        return made


def _stored(parameters: dict[str, Parameter]) -> dict[str, Any]:
    as_stored = connection.ops.adapt_datetimefield_value
    return {name: as_stored(value) if isinstance(value, datetime) else value for name, value in parameters.items()}
