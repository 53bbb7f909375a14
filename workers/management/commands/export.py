"""`manage.py export FOLDER`: a snapshot into a folder, where nothing is overwritten."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from rlhf import exports
from rlhf.errors import Refusal


class Command(BaseCommand):
    help = "Write a dataset snapshot (Parquet, JSONL and a description) into a folder."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path)
        parser.add_argument("--snapshot", type=int, help="its id")
        parser.add_argument("--project", help="slug: its newest snapshot of --configuration")
        parser.add_argument("--configuration", default="rankings", help="demonstrations, rankings or verdicts")

    def handle(
        self, *args: Any, folder: Path, snapshot: int | None, project: str | None, configuration: str, **options: Any
    ) -> None:
        if (snapshot is None) == (project is None):
            raise CommandError("expected either --snapshot ID or --project SLUG")
        try:
            chosen = (
                exports.by_id(pk=snapshot)
                if snapshot is not None
                else exports.newest(project=project or "", configuration=configuration)
            )
            written = exports.write(snapshot=chosen, folder=folder)
        except (Refusal, OSError) as error:
            raise CommandError(str(error)) from error
        for path in written:
            self.stdout.write(f"{path}  {path.stat().st_size:,} bytes")
