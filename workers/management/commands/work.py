"""`manage.py work`: plans, claims and executes runs here, in the foreground, without a broker."""

from __future__ import annotations

import signal
import threading
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console

from workers.foreground import Foreground
from workers.stopping import SIGNALS


class Command(BaseCommand):
    help = "Plan, claim and execute runs in the foreground, without a broker, until nothing is left to do."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--forever", action="store_true", help="wait for more work until Ctrl-C")

    def handle(self, *args: Any, forever: bool, **options: Any) -> None:
        stopping = threading.Event()
        for number in SIGNALS:
            signal.signal(number, lambda *_: stopping.set())
        with Foreground(stopping=stopping, console=Console()) as foreground:
            foreground.work(forever=forever)
        if foreground.num_failed:
            raise CommandError(f"runs that failed: {foreground.num_failed}")
