"""`manage.py work`: plans and executes in the foreground, one run after the other, without a broker."""

from __future__ import annotations

import signal
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from rlhf.models import Run
from workers.dispatch import TURN_S, Dispatcher
from workers.execute import open_worker


class Command(BaseCommand):
    help = "Plan every active project and execute queued runs until there is nothing to do but wait for people."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--forever", action="store_true", help="go on waiting for work until stopped")

    def handle(self, *args: Any, forever: bool, **options: Any) -> None:
        dispatcher = Dispatcher()
        workers = [open_worker(resource=resource) for resource in (Run.Resource.CPU, Run.Resource.GPU)]

        def stop(*_: object) -> None:
            dispatcher.stopping.set()
            for worker in workers:
                worker.stopping.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        num_runs = 0
        try:
            while not dispatcher.stopping.is_set():
                dispatcher.plan(now=timezone.now())
                taken = sum(worker.work() for worker in workers)
                num_runs += taken
                if not taken and not forever:
                    break
                if not taken:
                    dispatcher.stopping.wait(TURN_S)
        finally:
            for worker in workers:
                worker.starter.close()
        self.stdout.write(f"{num_runs} runs were executed; nothing is queued" if num_runs else "nothing to do")
