"""`manage.py estimate PROJECT`: asks for an overview now, of verdicts that may be the same: documents are derived."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from rlhf.models import Project
from workers import overview


class Command(BaseCommand):
    help = "Ask for a fresh overview of a project: all its verdicts frozen, and their document made again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("project", help="slug of the project")

    def handle(self, *args: Any, project: str, **options: Any) -> None:
        found = Project.objects.filter(slug=project).first()
        if found is None:
            raise CommandError(f"project: expected the slug of one, found {project!r}")
        try:
            run = overview.ask(project=found, now=timezone.now())
        except overview.NothingToShow as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"run {run.pk} is {run.state}; the document follows it. `manage.py work` does both here.")
