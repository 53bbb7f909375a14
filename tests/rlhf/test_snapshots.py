"""Snapshots: frozen by content, kept as the bytes they were."""

from pathlib import Path

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from rlhf import snapshots, storage
from rlhf.models import DatasetSnapshot, Project


def store(project: Project, folder: Path, content: bytes = b"rows", iteration: int = 1) -> DatasetSnapshot:
    parquet, jsonl = folder / "x.parquet", folder / "x.jsonl"
    parquet.write_bytes(content)
    jsonl.write_bytes(content + b" as lines")
    return snapshots.store(
        project=project, configuration="rankings", iteration=iteration, parameters={"iteration": iteration},
        parquet=parquet, jsonl=jsonl, num_rows=3,
    )  # fmt: skip


def test_the_stored_bytes_are_the_frozen_ones(project, tmp_path):
    snapshot = store(project, tmp_path)

    with snapshots.open_parquet(snapshot=snapshot) as file:
        assert file.read() == b"rows"
    with default_storage.open(snapshot.jsonl, "rb") as file:
        assert file.read() == b"rows as lines"
    assert snapshot.sha256 == storage.file_sha256(tmp_path / "x.parquet")
    assert snapshot.jsonl_sha256 == storage.file_sha256(tmp_path / "x.jsonl")
    assert (snapshot.size, snapshot.num_rows) == (4, 3)


def test_the_same_content_is_the_same_snapshot(project, tmp_path):
    first = store(project, tmp_path)
    again = store(project, tmp_path, iteration=2)

    assert again == first
    assert again.parameters == {"iteration": 1}
    assert store(project, tmp_path, content=b"other rows") != first


def test_two_projects_keep_files_of_their_own(project, other_project, tmp_path):
    mine, theirs = store(project, tmp_path), store(other_project, tmp_path)

    assert mine.sha256 == theirs.sha256
    assert mine.parquet != theirs.parquet


def test_half_a_file_of_a_killed_worker_is_written_again(project, tmp_path):
    snapshot = store(project, tmp_path)
    default_storage.delete(snapshot.parquet)
    default_storage.save(snapshot.parquet, ContentFile(b"ro"))

    again = store(project, tmp_path)

    assert again.parquet == snapshot.parquet
    with snapshots.open_parquet(snapshot=again) as file:
        assert file.read() == b"rows"
