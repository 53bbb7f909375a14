"""Tables too large for a list of rows: written as they come, read as numpy columns. Torch-free.

Writing a million rows takes the memory of one row group. The same rows give the same bytes as `tables.write_table`.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rlhf.learning.tables import (
    PARQUET,
    ROW_GROUP,
    TableError,
    added,
    describe,
    publish,
    require_no_null,
)

PIECE = 4_096  # rows that exist as dicts at one time; divides ROW_GROUP


@dataclass(frozen=True)
class Texts:
    """A column of texts: `values[codes[i]]` is row i's. The values are sorted and differ."""

    codes: NDArray[np.int64]
    values: tuple[str, ...]


def write_twins(parquet: Path, jsonl: Path, schema: pa.Schema, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write a table as Parquet and as JSON lines in one pass over its rows; how many there were.

    Raises:
        TableError: a row lacks a column, has one too many, or holds a value of another type or none. Neither file is
            left under its name.
    """
    drafts = [path.with_name(path.name + ".part") for path in (parquet, jsonl)]
    parquet.parent.mkdir(parents=True, exist_ok=True)
    num_rows = 0
    with pq.ParquetWriter(drafts[0], schema, **PARQUET) as writer, drafts[1].open("w", encoding="utf-8") as lines:
        for group in _groups(parquet, schema, rows, lines):
            writer.write_table(group, row_group_size=ROW_GROUP)
            num_rows += len(group)
    for draft, path in zip(drafts, (parquet, jsonl), strict=True):
        publish(draft, path)
    return num_rows


def _groups(path: Path, schema: pa.Schema, rows: Iterable[Mapping[str, Any]], lines: TextIO) -> Iterator[pa.Table]:
    """Row groups, made of pieces so that only a piece of it exists as Python objects."""
    source, pieces, num_before = iter(rows), list[pa.Table](), 0
    while piece := list(itertools.islice(source, PIECE)):
        pieces.append(_table(path, schema, piece, num_before))
        lines.writelines(
            json.dumps({name: row[name] for name in schema.names}, ensure_ascii=False) + "\n" for row in piece
        )
        num_before += len(piece)
        if len(pieces) == ROW_GROUP // PIECE:
            yield pa.concat_tables(pieces).combine_chunks()
            pieces = []
    if pieces:
        yield pa.concat_tables(pieces).combine_chunks()


def _table(path: Path, schema: pa.Schema, rows: Sequence[Mapping[str, Any]], num_before: int) -> pa.Table:
    for number, row in enumerate(rows, start=num_before):
        if row.keys() != set(schema.names):
            raise TableError(f"{path}: row {number} has columns {sorted(row)}, expected {sorted(schema.names)}")
    try:
        table = pa.Table.from_pylist(list(rows), schema=schema)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise TableError(f"{path}: a row doesn't fit {describe(schema)}: {error}") from error
    require_no_null(path, table)
    return table


def read_columns(path: Path, schema: pa.Schema) -> tuple[dict[str, NDArray[Any]], dict[str, Texts]]:
    """The columns of a flat Parquet table: numbers and flags as arrays, texts as codes and values.

    A column that was added to the table later, and that this file has not, holds what stands in for it.

    Raises:
        TableError: no such file, not Parquet, cut short, or with other columns than the schema's.
    """
    try:
        table = pq.ParquetFile(path).read()
        table = _completed(path, table, schema).select(schema.names).cast(schema)
    except (OSError, pa.ArrowException, ValueError) as error:
        if isinstance(error, TableError):
            raise
        raise TableError(f"{path}: expected a Parquet table of {describe(schema)}, found {error}") from error
    require_no_null(path, table)
    numbers, texts = {}, {}
    for field in schema:
        if pa.types.is_string(field.type):
            texts[field.name] = _texts(table[field.name])
        else:
            numbers[field.name] = table[field.name].to_numpy()
    return numbers, texts


def _completed(path: Path, table: pa.Table, schema: pa.Schema) -> pa.Table:
    for name, value in added(schema).items():
        if name not in table.column_names:
            column = pa.repeat(pa.scalar(value, type=schema.field(name).type), len(table))
            table = table.append_column(schema.field(name), column)
    if set(table.column_names) != set(schema.names):
        raise TableError(f"{path}: found columns {sorted(table.column_names)}, expected {sorted(schema.names)}")
    return table


def _texts(column: pa.ChunkedArray) -> Texts:
    encoded = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.chunk(0) if encoded.num_chunks else pa.array([], type=pa.string()).dictionary_encode()
    values = [str(value) for value in encoded.dictionary.to_pylist()]
    order = sorted(range(len(values)), key=values.__getitem__)
    place = np.empty(len(values), dtype=np.int64)
    place[order] = np.arange(len(values))
    codes = np.asarray(encoded.indices.to_numpy(zero_copy_only=False), dtype=np.int64)
    return Texts(place[codes] if len(values) else codes, tuple(values[i] for i in order))
