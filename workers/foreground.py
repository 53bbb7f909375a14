"""All the workers' jobs in one process, for a terminal: plan, claim, execute, and say how far it is.

The rows are the queue, so this may run beside other workers, or instead of them.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from types import TracebackType

import rich.progress
from django.utils import timezone
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from annotate import batches
from annotate.models import Task
from rlhf import runs
from rlhf.models import Project, Run
from rlhf.runs import Claim, Progress
from workers.dispatch import Dispatcher
from workers.execute import Worker, open_worker

IDLE_S = 0.5  # between two looks for work, with --forever
COLUMNS = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())


@dataclass
class Foreground:
    stopping: threading.Event
    console: Console
    workers: list[Worker] = field(default_factory=list)
    num_failed: int = 0  # of the runs that were executed here

    def __enter__(self) -> Foreground:
        self.workers = [open_worker(resource=resource) for resource in Run.Resource.values]
        for worker in self.workers:
            worker.stopping = self.stopping
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for worker in self.workers:
            worker.starter.close()

    def work(self, *, forever: bool) -> None:
        """Until nothing is planned or queued, or with `forever` until it is to stop."""
        dispatcher = Dispatcher()
        while not self.stopping.is_set():
            dispatcher.plan(now=timezone.now())
            if self._take_one():
                continue
            # With nothing else to do, the pages are brought up to date; an overview asks for nothing but itself.
            dispatcher.plan_overviews(now=timezone.now(), patient=forever)
            if self._take_one():
                continue
            if not forever:
                self._say_what_waits()
                return
            self.stopping.wait(IDLE_S)

    def _take_one(self) -> bool:
        """Execute the oldest queued run of either resource; whether there was one."""
        for worker in self.workers:
            claim = runs.claim(resource=worker.resource, worker=worker.name, now=timezone.now())
            if claim is not None:
                self._execute(worker, claim)
                return True
        return False

    def _execute(self, worker: Worker, claim: Claim) -> None:
        run = Run.objects.select_related("project").get(pk=claim.run_id)
        title = f"{run.project.slug} · {run.plan_key}"
        with rich.progress.Progress(*COLUMNS, console=self.console, transient=True) as screen:
            bar = screen.add_task(title, total=None)

            def show(progress: Progress) -> None:
                screen.update(bar, completed=progress.step, total=progress.total_steps or None)

            def tell(message: str) -> None:
                screen.console.print(f"{title}: {message}", style="yellow", markup=False, highlight=False)

            worker.on_beat, worker.on_alarm = show, tell
            worker.execute(claim)
        run.refresh_from_db()
        self.num_failed += run.state == Run.State.FAILED
        self.console.print(f"{title}: {run.state}" + (f": {run.error}" if run.error else ""))

    def _say_what_waits(self) -> None:
        for project in Project.objects.filter(state=Project.State.ACTIVE):
            num_tasks = batches.work(project=project).filter(state=Task.State.OPEN).count()
            failed = project.runs.filter(state=Run.State.FAILED).order_by("-id").first()
            if failed is not None:
                self.console.print(f"{project.slug}: {failed} failed: {failed.error}")
            self.console.print(f"{project.slug}: {num_tasks} tasks wait for people")
        self.console.print("No run is queued.")
