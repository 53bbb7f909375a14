"""A dispatcher and two workers in one process, without a broker: `python -m tests.browser hands`, until SIGTERM."""

from __future__ import annotations

import signal
import threading

from django.utils import timezone

from rlhf.models import Project, Run
from workers import loop
from workers.execute import Worker, open_worker

PAUSE_S = 0.2
stopping = threading.Event()


def serve(worker: Worker) -> None:
    try:
        while not stopping.wait(PAUSE_S):
            worker.work()
    finally:
        worker.starter.close()


def main() -> None:
    workers = [open_worker(resource=resource) for resource in Run.Resource.values]

    def stop(*_: object) -> None:
        stopping.set()
        for worker in workers:
            worker.stopping.set()

    signal.signal(signal.SIGTERM, stop)
    threads = [threading.Thread(target=serve, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    while not stopping.wait(PAUSE_S):
        for project in Project.objects.filter(state=Project.State.ACTIVE):
            loop.plan(project=project, now=timezone.now())
    for thread in threads:
        thread.join()
