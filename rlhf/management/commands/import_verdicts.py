"""`manage.py import_verdicts PROJECT FILE...`: verdicts made elsewhere, as JSON or JSONL, gzipped or not."""

from __future__ import annotations

import gzip
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from rlhf import verdict_imports
from rlhf.errors import Refusal
from rlhf.models import Project, Split
from rlhf.row_files import MAX_BYTES, numbered


class Command(BaseCommand):
    help = "Import verdicts of docs/evaluation.md's shape, or AlpacaEval's. The same rows again are imported once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("project", help="the project's slug")
        parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="JSON list or JSONL, perhaps .gz")
        parser.add_argument("--judge", default="", help="of rows that name none, as AlpacaEval's")
        parser.add_argument("--split", choices=Split.values, help="of prompts that are new; else by their hash")
        parser.add_argument("--skip-missing", action="store_true", help="leave out rows without a score")

    def handle(self, *args: Any, project: str, files: list[Path], **options: Any) -> None:
        found = Project.objects.filter(slug=project).first()
        if found is None:
            raise CommandError(f"expected the slug of a project, found {project!r}")
        for file in files:
            try:
                imported = verdict_imports.import_verdicts(
                    project=found,
                    rows=numbered(content=_content(file)),
                    judge=options["judge"],
                    split=options["split"],
                    skip_missing=options["skip_missing"],
                    now=timezone.now(),
                )
            except (Refusal, OSError, EOFError) as error:
                raise CommandError(f"{file}: {error}") from error
            told = imported.run.result
            state = "imported" if imported.is_new else "was imported before"
            self.stdout.write(
                f"{file.name}: {state}, {told['num_verdicts']} verdicts, {told['num_duplicates']} there already, "
                f"{imported.num_skipped} without a score; evaluations {told['evaluations']}, run {imported.run.pk}"
            )


def _content(file: Path) -> bytes:
    """One byte more than is allowed says that there is too much."""
    with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as source:
        return source.read(MAX_BYTES + 1)
