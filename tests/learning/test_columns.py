"""Tables written as their rows come, and read as columns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from rlhf.learning import columns, tables
from rlhf.learning.columns import Texts, read_columns, write_twins
from rlhf.learning.tables import CORPUS, TARGETS, VERDICTS, TableError
from tests.learning.evaluation.rows import verdict


def texts(num: int) -> list[dict]:
    return [{"text_id": number, "text": f"text {number % 7} \u00e4"} for number in range(num)]


@pytest.mark.parametrize("num", [1, 5_000, columns.PIECE * 17 + 3])  # within a piece, a row group, two row groups
def test_rows_that_come_one_by_one_give_the_bytes_of_rows_that_are_there(tmp_path: Path, num: int) -> None:
    assert write_twins(tmp_path / "a.parquet", tmp_path / "a.jsonl", CORPUS, iter(texts(num))) == num
    tables.write_table(tmp_path / "b.parquet", CORPUS, texts(num))
    tables.write_jsonl(tmp_path / "b.jsonl", CORPUS, texts(num))
    for kind in ("parquet", "jsonl"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()
    assert tables.read_table(tmp_path / "a.parquet", CORPUS) == texts(num)


def test_rows_exist_a_piece_at_a_time(tmp_path: Path) -> None:
    alive = 0

    class Counted(dict):
        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    most = 0

    def rows() -> Iterator[dict]:
        nonlocal alive, most
        for number in range(columns.PIECE * 4):
            alive += 1
            most = max(most, alive)
            yield Counted(text_id=number, text="a")

    write_twins(tmp_path / "a.parquet", tmp_path / "a.jsonl", CORPUS, rows())
    assert most <= 2 * columns.PIECE + 1  # the piece before is let go once the next is whole


def test_a_wrong_row_is_named_and_no_file_is_left(tmp_path: Path) -> None:
    rows = [*texts(5_000), {"text_id": 1}]
    with pytest.raises(TableError, match="row 5000 has columns"):
        write_twins(tmp_path / "a.parquet", tmp_path / "a.jsonl", CORPUS, rows)
    with pytest.raises(TableError, match="doesn't fit"):
        write_twins(tmp_path / "a.parquet", tmp_path / "a.jsonl", CORPUS, [{"text_id": "one", "text": ""}])
    assert not (tmp_path / "a.parquet").exists() and not (tmp_path / "a.jsonl").exists()


def test_texts_are_codes_of_sorted_values(tmp_path: Path) -> None:
    rows = [{"prompt_id": i, "answer": answer, "safety": i > 1} for i, answer in enumerate(["b", "", "b", "a"])]
    write_twins(tmp_path / "a.parquet", tmp_path / "a.jsonl", TARGETS, rows)
    numbers, found = read_columns(tmp_path / "a.parquet", TARGETS)
    assert numbers["prompt_id"].tolist() == [0, 1, 2, 3] and numbers["safety"].tolist() == [False, False, True, True]
    assert found["answer"].values == ("", "a", "b")
    assert found["answer"].codes.tolist() == [2, 0, 2, 1]
    write_twins(tmp_path / "b.parquet", tmp_path / "b.jsonl", TARGETS, [])
    assert read_columns(tmp_path / "b.parquet", TARGETS)[1]["answer"].values == ()
    assert isinstance(found["answer"], Texts)


def test_a_file_from_before_a_column_was_added_holds_what_stands_in_for_it(tmp_path: Path) -> None:
    path = tmp_path / "old.parquet"
    tables.write_table(path, VERDICTS, [verdict(1, 2, 3, 1.0, verdict_id=4, category="x", candidate_characters=9)])
    old = pq.read_table(path).drop_columns(["category", "candidate_characters"])
    pq.write_table(old, path)
    numbers, found = read_columns(path, VERDICTS)
    assert numbers["candidate_characters"].tolist() == [0] and found["category"].values == ("",)
    assert numbers["score"].dtype == np.float64


def test_what_is_no_such_table_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_text("no table")
    with pytest.raises(TableError, match="expected a Parquet table"):
        read_columns(tmp_path / "a.parquet", CORPUS)
    with pytest.raises(TableError, match="expected a Parquet table"):
        read_columns(tmp_path / "none.parquet", CORPUS)
    tables.write_table(tmp_path / "b.parquet", CORPUS, texts(1))
    with pytest.raises(TableError, match="found columns"):
        read_columns(tmp_path / "b.parquet", tables.PROMPTS)
