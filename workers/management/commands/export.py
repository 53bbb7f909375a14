"""`manage.py export SNAPSHOT FOLDER`: the very bytes of a frozen dataset, checked, with what was selected."""

from __future__ import annotations

import json
import shutil
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.files import File
from django.core.management.base import BaseCommand, CommandError

from rlhf import snapshots, storage
from rlhf.models import DatasetSnapshot


class Command(BaseCommand):
    help = "Copy a snapshot (Parquet, JSONL and a description) into a folder."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("snapshot", help="id, or the beginning of the sha256 that the datasets page shows")
        parser.add_argument("folder", type=Path)

    def handle(self, *args: Any, snapshot: str, folder: Path, **options: Any) -> None:
        found = _find(snapshot)
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{found.configuration}-{found.sha256[:12]}"
        _copy(snapshots.open_parquet(snapshot=found), folder / f"{name}.parquet", found.sha256)
        _copy(snapshots.open_jsonl(snapshot=found), folder / f"{name}.jsonl", found.jsonl_sha256)
        facts = {
            "project": found.project.slug,
            "configuration": found.configuration,
            "iteration": found.iteration,
            "parameters": found.parameters,
            "num_rows": found.num_rows,
            "sha256": found.sha256,
            "jsonl_sha256": found.jsonl_sha256,
            "created_at": found.created_at.isoformat(),
        }
        (folder / f"{name}.json").write_text(json.dumps(facts, indent=1) + "\n")
        self.stdout.write(f"{found.num_rows} rows: {folder / name}.parquet, .jsonl and .json")


def _find(snapshot: str) -> DatasetSnapshot:
    by = {"pk": int(snapshot)} if snapshot.isdecimal() and len(snapshot) < 12 else {"sha256__startswith": snapshot}
    rows = list(DatasetSnapshot.objects.select_related("project").filter(**by)[:2])
    if len(rows) != 1:
        found = "several" if rows else "none"
        raise CommandError(f"snapshot {snapshot!r}: expected the id or the sha256 of one snapshot, found {found}")
    return rows[0]


def _copy(source: File, target: Path, sha256: str) -> None:
    draft = target.with_name(f"{target.name}.part")
    with source, draft.open("wb") as copy:
        shutil.copyfileobj(source, copy)
    if (digest := storage.file_sha256(draft)) != sha256:
        draft.unlink()
        raise CommandError(f"{target.name}: expected sha256 {sha256}, found {digest}: the stored file is damaged")
    draft.replace(target)
