"""`manage.py export SNAPSHOT FOLDER`: the very bytes of a frozen dataset; nothing is overwritten."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from rlhf import exports
from rlhf.errors import Refusal


class Command(BaseCommand):
    help = "Copy a snapshot (Parquet, JSONL and a description) into a folder."

    def add_arguments(self, parser: ArgumentParser) -> None:
        what = "id, the beginning of the sha256, or PROJECT/CONFIGURATION such as demo/rankings for the newest"
        parser.add_argument("snapshot", help=what)
        parser.add_argument("folder", type=Path)

    def handle(self, *args: Any, snapshot: str, folder: Path, **options: Any) -> None:
        try:
            found = exports.find(name=snapshot)
            written = exports.write(snapshot=found, folder=folder)
        except (Refusal, OSError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{found.num_rows} rows of {found.project.slug}:")
        for path in written:
            self.stdout.write(f"{path}  {path.stat().st_size:,} bytes")
