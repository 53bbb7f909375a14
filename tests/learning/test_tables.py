"""Tables are written whole, equal bytes for equal rows, and a file that isn't the table is refused in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rlhf.learning import tables
from rlhf.learning.tables import RANKINGS, TableError, read_jsonl, read_table, sha256, write_jsonl, write_table

ROWS = [
    {
        "ranking_id": i,
        "prompt_id": 7,
        "prompt": [{"role": "user", "content": "Grüße, 世界 \u2028 <b>"}],
        "completion_ids": [1, 2, 3],
        "completions": ["a", "", "c\nd"],
        "ranks": [1, 2, 2],
        "edited": False,
        "strength": 0,
        "strength_scale": "",
        "safety": "",
        "all_bad": False,
        "names_itself": False,
        "adjudicated": False,
        "labeler": "l-1",
        "weight": 0.5,
        "iteration": 1,
        "split": "train",
    }
    for i in range(3)
]


def test_rows_come_back_as_they_went(tmp_path: Path) -> None:
    write_table(tmp_path / "t.parquet", RANKINGS, ROWS)
    write_jsonl(tmp_path / "t.jsonl", RANKINGS, ROWS)
    assert read_table(tmp_path / "t.parquet", RANKINGS) == ROWS
    assert read_jsonl(tmp_path / "t.jsonl", RANKINGS) == ROWS


def test_a_file_frozen_before_columns_came_reads_as_what_nobody_was_asked_then(tmp_path: Path) -> None:
    later = {"edited", "strength", "strength_scale", "safety", "all_bad", "names_itself", "adjudicated"}
    table = pa.Table.from_pylist(ROWS, schema=RANKINGS).drop_columns(sorted(later))
    pq.write_table(table, tmp_path / "t.parquet")
    old = [{name: value for name, value in row.items() if name not in later} for row in ROWS]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in old), encoding="utf-8")
    assert read_table(tmp_path / "t.parquet", RANKINGS) == ROWS
    assert read_jsonl(tmp_path / "t.jsonl", RANKINGS) == ROWS


def test_no_rows_is_a_table_too(tmp_path: Path) -> None:
    write_table(tmp_path / "t.parquet", RANKINGS, [])
    assert read_table(tmp_path / "t.parquet", RANKINGS) == []


def test_equal_rows_give_equal_bytes(tmp_path: Path) -> None:
    reordered = [dict(reversed(row.items())) for row in ROWS]
    for name, rows in (("a", ROWS), ("b", reordered)):
        write_table(tmp_path / f"{name}.parquet", RANKINGS, rows)
        write_jsonl(tmp_path / f"{name}.jsonl", RANKINGS, rows)
    assert sha256(tmp_path / "a.parquet") == sha256(tmp_path / "b.parquet")
    assert sha256(tmp_path / "a.jsonl") == sha256(tmp_path / "b.jsonl")


def test_a_file_in_a_folder_named_like_a_partition_gains_no_column(tmp_path: Path) -> None:
    path = tmp_path / "split=train" / "t.parquet"
    write_table(path, RANKINGS, ROWS)
    assert read_table(path, RANKINGS) == ROWS


@pytest.mark.parametrize(
    "row",
    [
        {k: v for k, v in ROWS[0].items() if k != "weight"},
        ROWS[0] | {"surprise": 1},
        ROWS[0] | {"weight": "heavy"},
        ROWS[0] | {"labeler": None},
    ],
    ids=["column missing", "column too many", "wrong type", "empty value"],
)
def test_a_row_that_does_not_fit_is_not_written(tmp_path: Path, row: dict[str, object]) -> None:
    with pytest.raises(TableError, match=r"t\.parquet"):
        write_table(tmp_path / "t.parquet", RANKINGS, [ROWS[0], row])
    assert list(tmp_path.iterdir()) == []


def test_a_missing_corrupt_or_cut_file_is_named(tmp_path: Path) -> None:
    write_table(tmp_path / "good.parquet", RANKINGS, ROWS)
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "good.parquet").read_bytes()[:-40])
    (tmp_path / "text.parquet").write_text("not parquet at all")
    for name in ("missing", "cut", "text"):
        with pytest.raises(TableError, match=rf"{name}\.parquet: expected a Parquet file"):
            read_table(tmp_path / f"{name}.parquet", RANKINGS)


def test_wrong_columns_and_types_are_told_with_what_was_expected(tmp_path: Path) -> None:
    pq.write_table(pa.table({"prompt_id": [1], "text": ["a"]}), tmp_path / "columns.parquet")
    with pytest.raises(TableError, match=r"found columns \['prompt_id', 'text'\], expected \['prompt', 'prompt_id'"):
        read_table(tmp_path / "columns.parquet", tables.PROMPTS)
    pq.write_table(pa.table({"prompt_id": [1], "prompt": ["a"], "split": ["train"]}), tmp_path / "types.parquet")
    with pytest.raises(TableError, match="expected prompt_id int64, prompt list<"):
        read_table(tmp_path / "types.parquet", tables.PROMPTS)


def test_a_bad_line_of_jsonl_is_named_by_number(tmp_path: Path) -> None:
    good = json.dumps(ROWS[0])
    for bad in ('{"ranking_id": 1}', "[1]", "{"):
        (tmp_path / "t.jsonl").write_text(f"{good}\n{bad}\n")
        with pytest.raises(TableError, match=r"t\.jsonl, line 2"):
            read_jsonl(tmp_path / "t.jsonl", RANKINGS)
