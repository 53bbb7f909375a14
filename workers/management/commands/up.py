"""`manage.py up`: every part of Hone on this machine, until Ctrl-C or SIGTERM; nothing of it stays behind."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.urls import reverse

from workers.stopping import Stopped, raise_on_signals
from workers.supervise import CannotStart, Parts


class Command(BaseCommand):
    help = "Start the web pages, the workers, the dispatcher and, without REDIS_URL, a Valkey; serve until stopped."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=0, help="loopback port (default: a free one from 8000 on)")

    def handle(self, *args: Any, port: int, **options: Any) -> None:
        raise_on_signals()
        parts = Parts(port=port)
        try:
            call_command("migrate", verbosity=0)
            parts.start()
            self.stdout.write(f"Starting; logs are in {parts.logs}")
            self.stdout.flush()
            parts.wait_ready()
            self._greet(parts.url)
            parts.serve()
        except CannotStart as error:
            raise CommandError(str(error)) from error
        except Stopped:
            self.stdout.write("Stopped.")
        finally:
            parts.stop()

    def _greet(self, url: str) -> None:
        is_new = not User.objects.exists()
        self.stdout.write(f"Hone    {url}{reverse('setup') if is_new else '/'}")
        if is_new:
            self.stdout.write("        nobody has an account yet: the first one, made there, is the admin's")
        self.stdout.write(f"Admin   {url}{reverse('admin:index')}")
        self.stdout.write(f"API     {url}{reverse('docs')}")
        self.stdout.write(f"Files   {settings.VAR}")
        self.stdout.write("Ctrl-C stops everything.")
        self.stdout.flush()
        connection.close()  # an idle connection would hold up whoever restores or drops the database
