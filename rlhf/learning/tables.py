"""Every table of a run folder: its columns, and how it is written and read. Torch-free.

The same rows give the same bytes; a file that isn't the table it should be is refused with one sentence.
Columns are described in docs/run_folder.md.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rlhf.learning.configs import InputError


class TableError(InputError):
    """A file that is not the table it should be; the message names the file, what was found and what was expected."""


INT, FLOAT, TEXT, FLAG = pa.int64(), pa.float64(), pa.string(), pa.bool_()
PROMPT = pa.list_(pa.struct([("role", TEXT), ("content", TEXT)]))

_SAMPLE = [
    ("prompt_id", INT),
    ("sample_index", INT),
    ("completion", TEXT),
    ("num_tokens", INT),
    ("finished", FLAG),
    ("log_probability", FLOAT),
]

DEMONSTRATIONS = pa.schema(
    [
        ("demonstration_id", INT),
        ("prompt_id", INT),
        ("prompt", PROMPT),
        ("completion", TEXT),
        ("labeler", TEXT),
        ("split", TEXT),
    ]
)
RANKINGS = pa.schema(
    [
        ("ranking_id", INT),
        ("prompt_id", INT),
        ("prompt", PROMPT),
        ("completion_ids", pa.list_(INT)),
        ("completions", pa.list_(TEXT)),
        ("ranks", pa.list_(INT)),
        ("edited", FLAG),
        ("strength", INT),
        ("strength_scale", TEXT),
        ("safety", TEXT),
        ("all_bad", FLAG),
        ("names_itself", FLAG),
        ("adjudicated", FLAG),
        ("labeler", TEXT),
        ("weight", FLOAT),
        ("iteration", INT),
        ("split", TEXT),
    ]
)
# Columns that came after the first files were frozen, and what stands in where a file has none of them: a snapshot
# never changes, and the run that read it can be repeated.
ADDED: dict[str, Any] = {
    "edited": False, "strength": 0, "strength_scale": "", "safety": "", "all_bad": False, "names_itself": False,
    "adjudicated": False, "winner_ab": "", "winner_ba": "",
    "category": "", "candidate_id": 0, "baseline_id": 0, "candidate_reward": 0.0, "baseline_reward": 0.0,
    "candidate_characters": 0, "baseline_characters": 0, "candidate_headers": 0, "baseline_headers": 0,
    "candidate_lists": 0, "baseline_lists": 0, "candidate_bold": 0, "baseline_bold": 0,
    "unsettled": 0,
}  # fmt: skip


# Every option that reaches the bytes is fixed here, so that a change of pyarrow's defaults is not a change of data.
PARQUET: dict[str, Any] = {"compression": "zstd", "compression_level": 3, "version": "2.6"}
ROW_GROUP = 65_536


def added(schema: pa.Schema) -> dict[str, Any]:
    """The columns of a table that came later, each with what stands in where nothing was said."""
    return {name: ADDED[name] for name in schema.names if name in ADDED}


CORPUS = pa.schema([("text_id", INT), ("text", TEXT)])
PROMPTS = pa.schema([("prompt_id", INT), ("prompt", PROMPT), ("split", TEXT)])
# What a prompt asks for beyond preference: the answer of a verifier ("" for none), and whether it is about safety.
TARGETS = pa.schema([("prompt_id", INT), ("answer", TEXT), ("safety", FLAG)])
PAIRS = pa.schema(
    [("pair_id", INT), ("prompt_id", INT), ("prompt", PROMPT), ("completion_a", TEXT), ("completion_b", TEXT)]
)
VERDICTS = pa.schema(
    [
        ("verdict_id", INT),
        ("evaluation_id", INT),
        ("prompt_id", INT),
        ("split", TEXT),
        ("judge_id", INT),
        ("rater", TEXT),
        ("position", TEXT),
        ("replicate", INT),
        ("score", FLOAT),
        ("category", TEXT),  # of the prompt
        ("candidate_id", INT),  # of the versions
        ("baseline_id", INT),
        ("candidate_reward", FLOAT),  # 0 where the judge gives none
        ("baseline_reward", FLOAT),
        # What style control corrects for: characters, and Markdown headers, list items and bold spans.
        ("candidate_characters", INT),
        ("baseline_characters", INT),
        ("candidate_headers", INT),
        ("baseline_headers", INT),
        ("candidate_lists", INT),
        ("baseline_lists", INT),
        ("candidate_bold", INT),
        ("baseline_bold", INT),
    ]
)
SAMPLE_ROWS = pa.schema(_SAMPLE)
BEST_OF_N_ROWS = pa.schema([*_SAMPLE, ("temperature", FLOAT), ("score", FLOAT), ("best", FLAG)])
# The best answers of all rounds: `scorer` says which reward model gave the score, `round` counts from 0.
BAG = pa.schema(
    [
        ("prompt_id", INT),
        ("prompt", PROMPT),
        ("completion", TEXT),
        ("num_tokens", INT),
        ("score", FLOAT),
        ("scorer", TEXT),
        ("round", INT),
    ]
)
REWARD_ROWS = pa.schema(
    [
        ("ranking_id", INT),
        ("prompt_id", INT),
        ("labeler", TEXT),
        ("iteration", INT),
        ("completion_id", INT),
        ("rank", INT),
        ("score", FLOAT),
        ("disagreement", FLOAT),
    ]
)
JUDGE_ROWS = pa.schema(
    [
        ("pair_id", INT),
        ("prompt_id", INT),
        ("score_a", FLOAT),
        ("score_b", FLOAT),
        ("probability", FLOAT),
        ("winner_ab", TEXT),
        ("winner_ba", TEXT),
        ("score_ab", FLOAT),
        ("score_ba", FLOAT),
        ("said_ab", TEXT),
        ("said_ba", TEXT),
    ]
)
ESTIMATE_ROWS = pa.schema(
    [
        ("evaluation_id", INT),
        ("judge_id", INT),
        ("split", TEXT),
        ("num_prompts", INT),
        ("num_verdicts", INT),
        ("wins", INT),
        ("ties", INT),
        ("losses", INT),
        ("unsettled", INT),  # prompts on which the two orders disagree
        ("win_rate", FLOAT),
        ("standard_error", FLOAT),
        ("low", FLOAT),
        ("high", FLOAT),
    ]
)


def write_table(path: Path, schema: pa.Schema, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as Parquet: under a temporary name, fsynced, renamed. Equal rows give equal bytes.

    Raises:
        TableError: a row lacks a column, has one too many, or holds a value of another type or none.
    """
    for number, row in enumerate(rows):
        if set(row) != set(schema.names):
            raise TableError(f"{path}: row {number} has columns {sorted(row)}, expected {sorted(schema.names)}")
    try:
        table = pa.Table.from_pylist(list(rows), schema=schema)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise TableError(f"{path}: a row doesn't fit {describe(schema)}: {error}") from error
    require_no_null(path, table)
    temporary = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, temporary, row_group_size=ROW_GROUP, **PARQUET)
    publish(temporary, path)


def read_table(path: Path, schema: pa.Schema) -> list[dict[str, Any]]:
    """Read the rows of a Parquet file, as Python values, columns in the schema's order.

    Raises:
        TableError: no such file, not Parquet, cut short, or with other columns than the schema's.
    """
    try:
        # ParquetFile reads this one file: pq.read_table would take a folder name like split=train for a column.
        table = pq.ParquetFile(path).read()
    except (OSError, pa.ArrowException) as error:
        raise TableError(f"{path}: expected a Parquet file, found {_first_line(error)}") from error
    table = _with_added(table, schema)
    if set(table.column_names) != set(schema.names):
        raise TableError(f"{path}: found columns {sorted(table.column_names)}, expected {sorted(schema.names)}")
    try:
        table = table.select(schema.names).cast(schema)
    except (pa.ArrowException, ValueError) as error:
        raise TableError(f"{path}: expected {describe(schema)}, found {describe(table.schema)}") from error
    require_no_null(path, table)
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def write_jsonl(path: Path, schema: pa.Schema, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write the JSONL twin of a table: one object per row, every key in every row, keys in the schema's order."""
    temporary = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    with temporary.open("w", encoding="utf-8") as file:
        for number, row in enumerate(rows):
            if set(row) != set(schema.names):
                raise TableError(f"{path}: row {number} has columns {sorted(row)}, expected {sorted(schema.names)}")
            file.write(json.dumps({name: row[name] for name in schema.names}, ensure_ascii=False) + "\n")
    publish(temporary, path)


def read_jsonl(path: Path, schema: pa.Schema) -> list[dict[str, Any]]:
    """Read the JSONL twin of a table. Raises TableError naming the line that isn't an object of these columns."""
    rows = []
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise TableError(f"{path}: expected JSON lines, found {_first_line(error)}") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise TableError(f"{path}, line {number}: expected a JSON object, found {_first_line(error)}") from error
        if isinstance(row, dict):
            row = added(schema) | row
        if not isinstance(row, dict) or set(row) != set(schema.names):
            found = sorted(row) if isinstance(row, dict) else type(row).__name__
            raise TableError(f"{path}, line {number}: found {found}, expected {sorted(schema.names)}")
        rows.append(row)
    return rows


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _with_added(table: pa.Table, schema: pa.Schema) -> pa.Table:
    for name, value in added(schema).items():
        if name not in table.column_names:
            column = pa.array([value] * len(table), type=schema.field(name).type)
            table = table.append_column(schema.field(name), column)
    return table


def publish(temporary: Path, path: Path) -> None:
    """The temporary file takes the name of the whole one, once its bytes are on the disk."""
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(temporary, path)


def require_no_null(path: Path, table: pa.Table) -> None:
    """Raises TableError naming the first column with empty values."""
    for name in table.column_names:
        if table[name].null_count:
            raise TableError(f"{path}: column {name} has {table[name].null_count} empty values, expected none")


def describe(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name} {field.type}" for field in schema)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
