"""Snapshots: one per content, bytes that are checked, exports that overwrite nothing."""

from __future__ import annotations

import hashlib
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


def test_what_was_stored_is_read_back_with_its_hash(project: Project, tmp_path: Path) -> None:
    snapshot = store(project, tmp_path)

    assert snapshot.sha256 == hashlib.sha256(b"rows").hexdigest()
    assert snapshot.size == 4
    with snapshots.open_parquet(snapshot=snapshot) as file:
        assert file.read() == b"rows"
    with snapshots.open_jsonl(snapshot=snapshot) as file:
        assert hashlib.sha256(file.read()).hexdigest() == snapshot.jsonl_sha256


def test_the_same_content_is_the_same_snapshot_and_keeps_its_parameters(project: Project, tmp_path: Path) -> None:
    first = store(project, tmp_path)
    again = store(project, tmp_path, iteration=2, parameters={"old_weight": 0.9})

    assert again == first
    assert (again.iteration, again.parameters) == (1, {"old_weight": 0.5})


def test_other_content_configuration_or_project_is_another_snapshot(
    project: Project, other_project: Project, tmp_path: Path
) -> None:
    made = {
        store(project, tmp_path).pk,
        store(project, tmp_path, content="other rows").pk,
        store(project, tmp_path, configuration="verdicts").pk,
        store(other_project, tmp_path).pk,
    }
    assert len(made) == 4


def test_half_a_file_that_a_killed_worker_left_is_replaced(project: Project, tmp_path: Path) -> None:
    name = store(project, tmp_path).parquet
    Path(default_storage.path(name)).write_text("ro")

    snapshot = store(project, tmp_path)

    assert snapshot.parquet == name
    with snapshots.open_parquet(snapshot=snapshot) as file:
        assert file.read() == b"rows"


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
    assert exports.find(name="tulip/rankings") == new
    for name in ("999", "tulip/verdicts", "no-such/rankings", "zzz", ""):
        with pytest.raises(exports.NoSnapshot, match="expected an id"):
            exports.find(name=name)
