"""A figure of a page: one list of rows that its chart draws, its table shows and its CSV holds, value by value.

Rates are shares from 0 to 1 in the rows, in the CSV and in what a chart gets; only the text of the table is rounded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from django.http import StreamingHttpResponse
from django.utils.safestring import SafeString, mark_safe

from rlhf import csv_files

Row = Mapping[str, Any]
TEXT, COUNT, NUMBER, PERCENT, FINE, POINTS, PROBABILITY, FLAG = (
    "text", "count", "number", "percent", "fine", "points", "probability", "flag",
)  # fmt: skip
NOTHING = "–"


@dataclass(frozen=True)
class Column:
    """A column of the table. The text under `is_link` leads to the address in the row's `href`."""

    key: str
    label: str
    kind: str = TEXT
    is_link: bool = False
    is_heading: bool = False

    @property
    def is_number(self) -> bool:
        return self.kind not in (TEXT, FLAG)


@dataclass(frozen=True)
class Figure:
    """`rows` may hold more than the columns: `href`, and `<key>_text` where another text than the value is shown."""

    key: str  # names the chart (static/charts/) and the CSV
    title: str
    conclusion: str  # the caption: what the figure says, in words
    columns: Sequence[Column]
    rows: Sequence[Row]
    options: Mapping[str, Any] = field(default_factory=dict)  # what the chart needs besides the rows: domains, order
    needs: str = ""  # said in the figure's place where there are no rows
    csv_url: str = ""
    is_chart: bool = True

    @property
    def data(self) -> dict[str, Any]:
        return {"rows": [dict(row) for row in self.rows], **self.options}

    @property
    def body(self) -> SafeString:
        """The rows of the table, built here: a template takes ten times as long over a thousand rows."""
        return mark_safe("".join(self._html()))  # noqa: S308, _cell escapes every value

    def _html(self) -> Iterator[str]:
        for row in self.rows:
            yield "<tr>"
            yield from (_cell(column, row) for column in self.columns)
            yield "</tr>\n"


def plain(value: object) -> str:
    """A value as the CSV has it, and as the table has it behind its text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(csv_files.inert(value))


def csv_response(*, figure: Figure, filename: str) -> StreamingHttpResponse:
    columns = [column.key for column in figure.columns]
    rows = ([_bare(row.get(key)) for key in columns] for row in figure.rows)
    return csv_files.csv_response(filename=filename, columns=columns, rows=rows)


def _bare(value: object) -> object:
    return plain(value) if isinstance(value, bool) else value


def shown(value: Any, kind: str) -> str:
    """The text of a value in a table."""
    if value is None or value == "":
        return NOTHING
    if kind in (PERCENT, FINE):
        return f"{value * 100:.{1 if kind == FINE else 0}f}\N{NO-BREAK SPACE}%"
    if kind == POINTS:
        return f"{value * 100:+.1f}".replace("-", "\N{MINUS SIGN}")
    if kind == NUMBER:
        return f"{value:.2f}".replace("-", "\N{MINUS SIGN}")
    if kind == PROBABILITY:
        return "< .001" if value < 0.001 else f"{value:.3f}"
    if kind == FLAG:
        return "yes" if value else "no"
    return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}") if kind == COUNT else str(value)


def _cell(column: Column, row: Row) -> str:
    value = row.get(column.key)
    text = row.get(f"{column.key}_text") or shown(value, column.kind)
    inner = f'<data value="{escape(plain(value))}">{escape(text)}</data>'
    if column.is_link and row.get("href"):
        inner = f'<a href="{escape(row["href"])}">{inner}</a>'
    if column.is_heading:
        return f'<th scope="row">{inner}</th>'
    return f'<td class="number">{inner}</td>' if column.is_number else f"<td>{inner}</td>"
