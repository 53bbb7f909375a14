"""A snapshot as files in a folder of one's own: the very bytes of storage, checked, all of them or none."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from django.core.files.storage import default_storage

from rlhf import storage
from rlhf.errors import Refusal
from rlhf.models import DatasetSnapshot

MAX_ID_DIGITS = 12  # longer ones are hashes


class NoSnapshot(Refusal):
    status = 404


class CorruptSnapshot(Refusal):
    """The stored bytes are not those that were frozen."""


class InTheWay(Refusal):
    status = 409


def find(*, name: str) -> DatasetSnapshot:
    """By id, by the beginning of its sha256, or the newest of PROJECT/CONFIGURATION. Raises NoSnapshot."""
    there = DatasetSnapshot.objects.select_related("project").order_by("-id")
    project, slash, configuration = name.partition("/")
    if slash:
        found = list(there.filter(project__slug=project, configuration=configuration)[:1])
    elif name.isdecimal() and len(name) <= MAX_ID_DIGITS:
        found = list(there.filter(pk=int(name)))
    else:
        found = list(there.filter(sha256__startswith=name)[:2])
    if len(found) != 1:
        expected = "an id, the beginning of a sha256 or PROJECT/CONFIGURATION"
        raise NoSnapshot(f"snapshot {name!r}: expected {expected}, found {'several' if found else 'none'}")
    return found[0]


def write(*, snapshot: DatasetSnapshot, folder: Path) -> list[Path]:
    """<configuration>.parquet, its .jsonl twin and a .json about them. Raises InTheWay or CorruptSnapshot."""
    name = snapshot.configuration
    targets = [folder / f"{name}{suffix}" for suffix in (".parquet", ".jsonl", ".json")]
    for target in targets:
        if target.exists():
            raise InTheWay(f"{target}: expected nothing there, found a file; nothing was written")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".export-") as draft:
        drafts = [Path(draft) / target.name for target in targets]
        _copy(snapshot.parquet, drafts[0], snapshot.sha256)
        _copy(snapshot.jsonl, drafts[1], snapshot.jsonl_sha256)
        drafts[2].write_text(json.dumps(_about(snapshot), indent=1) + "\n")
        for source, target in zip(drafts, targets, strict=True):
            source.rename(target)
    return targets


def _copy(name: str, target: Path, expected: str) -> None:
    try:
        with default_storage.open(name, "rb") as source, target.open("wb") as copy:
            shutil.copyfileobj(source, copy)
    except FileNotFoundError as error:
        raise CorruptSnapshot(f"{name}: expected this file in storage, found none") from error
    if (found := storage.file_sha256(target)) != expected:
        raise CorruptSnapshot(f"{name} in storage: expected sha256 {expected}, found {found}")


def _about(snapshot: DatasetSnapshot) -> dict[str, Any]:
    return {
        "snapshot": snapshot.pk,
        "project": snapshot.project.slug,
        "configuration": snapshot.configuration,
        "iteration": snapshot.iteration,
        "parameters": snapshot.parameters,
        "num_rows": snapshot.num_rows,
        "sha256": snapshot.sha256,
        "jsonl_sha256": snapshot.jsonl_sha256,
        "created_at": snapshot.created_at.isoformat(),
    }
