"""`manage.py dispatch`: requeues silent runs, wakes workers and plans the loop, until SIGTERM."""

from __future__ import annotations

import signal
from typing import Any

from django.core.management.base import BaseCommand

from workers.dispatch import Dispatcher


class Command(BaseCommand):
    help = "Requeue silent runs, wake workers and plan every active project, until stopped."

    def handle(self, *args: Any, **options: Any) -> None:
        dispatcher = Dispatcher()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: dispatcher.stopping.set())
        dispatcher.run()
