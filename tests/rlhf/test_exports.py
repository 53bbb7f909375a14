"""Exports: the very bytes, all files or none, and nothing overwritten."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.core.files.storage import default_storage

from rlhf import exports, snapshots
from rlhf.models import DatasetSnapshot, Project


def store(project: Project, folder: Path, content: str = "rows", **changes: object) -> DatasetSnapshot:
    (folder / "a.parquet").write_text(content)
    (folder / "a.jsonl").write_text(f"{content} as lines")
    arguments = {"configuration": "rankings", "iteration": 1, "parameters": {"old_weight": 0.5}, "num_rows": 3}
    return snapshots.store(
        project=project, parquet=folder / "a.parquet", jsonl=folder / "a.jsonl", **{**arguments, **changes}
    )


def test_an_export_holds_the_bytes_and_what_was_selected(project: Project, tmp_path: Path) -> None:
    snapshot = store(project, tmp_path)

    written = exports.write(snapshot=snapshot, folder=tmp_path / "new" / "folder")

    assert [path.name for path in written] == ["rankings.parquet", "rankings.jsonl", "rankings.json"]
    assert written[0].read_bytes() == b"rows"
    about = json.loads(written[2].read_text())
    assert about["sha256"] == snapshot.sha256 and about["parameters"] == {"old_weight": 0.5}
    assert sorted(path.name for path in written[0].parent.iterdir()) == sorted(path.name for path in written)


def test_an_export_overwrites_nothing(project: Project, tmp_path: Path) -> None:
    snapshot = store(project, tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "rankings.jsonl").write_text("mine")

    with pytest.raises(exports.InTheWay, match="rankings.jsonl: expected nothing there, found a file"):
        exports.write(snapshot=snapshot, folder=tmp_path / "out")
    assert [path.read_text() for path in (tmp_path / "out").iterdir()] == ["mine"]


@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_a_corrupt_snapshot_is_exported_not_even_by_half(project: Project, tmp_path: Path, damage: str) -> None:
    snapshot = store(project, tmp_path)
    jsonl = Path(default_storage.path(snapshot.jsonl))
    jsonl.write_text("something else") if damage == "changed" else jsonl.unlink()

    with pytest.raises(exports.CorruptSnapshot, match=rf"{snapshot.jsonl}.*expected .*, found"):
        exports.write(snapshot=snapshot, folder=tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_snapshot_is_found_by_id_by_hash_and_as_the_newest_of_its_kind(project: Project, tmp_path: Path) -> None:
    old, new = store(project, tmp_path), store(project, tmp_path, content="newer")

    assert exports.find(name=str(old.pk)) == old
    assert exports.find(name=old.sha256[:10]) == old
    assert exports.find(name=f"{project.slug}/rankings") == new
    for name in ("999", f"{project.slug}/verdicts", "no-such/rankings", "zzz", ""):
        with pytest.raises(exports.NoSnapshot, match="expected an id"):
            exports.find(name=name)
