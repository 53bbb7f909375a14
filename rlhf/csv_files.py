"""CSV as answers: numbers to the last digit, and no cell that a spreadsheet would run."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.http import StreamingHttpResponse

ACTIVE = ("=", "+", "-", "@", "\t", "\r")  # a text that begins so is a formula to a spreadsheet


class _Echo:
    def write(self, line: str) -> str:
        return line


def csv_response(*, filename: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> StreamingHttpResponse:
    """A CSV file (RFC 4180), streamed; None is an empty cell."""
    headers = {"Content-Disposition": f'attachment; filename="{filename}"'}
    return StreamingHttpResponse(
        lines(columns=columns, rows=rows), content_type="text/csv; charset=utf-8", headers=headers
    )


def lines(*, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    writer = csv.writer(_Echo())
    yield str(writer.writerow(columns))
    for row in rows:
        yield str(writer.writerow([inert(value) for value in row]))


def inert(value: Any) -> Any:
    """The value, with a mark before a text that would be run."""
    return f"'{value}" if isinstance(value, str) and value.startswith(ACTIVE) else value
