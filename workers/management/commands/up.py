"""`manage.py up`: every part on this machine, restarted when it dies, until Ctrl-C. Nothing is left behind."""

from __future__ import annotations

import signal
from argparse import ArgumentParser
from types import FrameType
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.urls import reverse

from workers.supervise import CannotStart, Parts


class Stopped(BaseException):
    """Ctrl-C or SIGTERM. No Exception, so that nothing on the way takes it for a fault."""


class Command(BaseCommand):
    help = "Start the web server, the workers, the dispatcher and a broker, and keep them running until Ctrl-C."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=0, help="loopback port (default: the first free one from 8000)")

    def handle(self, *args: Any, port: int, **options: Any) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _stop)
        parts = Parts(port=port)
        try:
            call_command("migrate", verbosity=0)
            parts.start()
            parts.wait_ready()
            self._greet(parts)
            parts.wait_ended()
        except CannotStart as error:
            raise CommandError(str(error)) from error
        except Stopped:
            self.stdout.write("Stopped.")
        finally:
            parts.stop()

    def _greet(self, parts: Parts) -> None:
        is_new = not User.objects.exists()
        self.stdout.write(f"Hone    {parts.url}{reverse('setup') if is_new else '/'}")
        if is_new:
            self.stdout.write("        make the first account there: it is the admin's")
        self.stdout.write(f"Admin   {parts.url}{reverse('admin:index')}")
        self.stdout.write(f"API     {parts.url}/api/v1/docs/")
        self.stdout.write(f"Files   {settings.VAR} (logs in {parts.logs})")
        self.stdout.write("Ctrl-C stops everything.")
        self.stdout.flush()


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stopped
