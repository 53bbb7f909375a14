"""`manage.py doctor`: what is in force and what is wrong with it, a line each; exit code 1 where something is."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from workers import health


class Command(BaseCommand):
    help = "Check settings, database, migrations, broker, front end, torch and disk."
    requires_system_checks: list[str] = []  # a sick installation is what this looks at

    def handle(self, *args: Any, **options: Any) -> None:
        num_ill = 0
        for finding in health.examine():
            num_ill += not finding.is_well
            self.stdout.write(f"{'ok  ' if finding.is_well else 'FAIL'}  {finding.name:<11} {finding.text}")
        if num_ill:
            raise CommandError(f"{num_ill} of {len(health.CHECKS)} checks failed")
