"""Frozen datasets: a Parquet file, its JSONL twin and a row, one per content. There is no update path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.files import File
from django.core.files.storage import default_storage

from rlhf import storage
from rlhf.models import DatasetSnapshot, Project


def store(
    *,
    project: Project,
    configuration: str,
    iteration: int,
    parameters: dict[str, Any],
    parquet: Path,
    jsonl: Path,
    num_rows: int,
) -> DatasetSnapshot:
    """Keep the two files and their row. The same content again is the same snapshot, parameters as they were."""
    sha256 = storage.file_sha256(parquet)
    name = f"snapshots/{project.pk}/{configuration}-{sha256}"
    storage.put(name=f"{name}.parquet", path=parquet)
    jsonl_sha256 = storage.put(name=f"{name}.jsonl", path=jsonl)
    row = DatasetSnapshot(
        project=project,
        configuration=configuration,
        iteration=iteration,
        parameters=parameters,
        num_rows=num_rows,
        sha256=sha256,
        parquet=f"{name}.parquet",
        size=parquet.stat().st_size,
        jsonl=f"{name}.jsonl",
        jsonl_sha256=jsonl_sha256,
    )
    DatasetSnapshot.objects.bulk_create([row], ignore_conflicts=True)
    return DatasetSnapshot.objects.get(project=project, configuration=configuration, sha256=sha256)


def open_parquet(*, snapshot: DatasetSnapshot) -> File:
    return default_storage.open(snapshot.parquet, "rb")
