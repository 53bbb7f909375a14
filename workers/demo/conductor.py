"""Runs the demo: parts, world, people and audits, in the order that lets two cores work at once."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.utils import timezone
from rich.console import Console, RenderableType
from rich.live import Live

from annotate.management.demo import language_model, pretraining
from annotate.management.demo.recipe import STANDARD, Sizes
from rlhf import projects, runs
from rlhf.models import Project, Run
from workers.demo import audit, report, stages, view, world
from workers.demo.people import People
from workers.supervise import Part, Parts

TICK_S = 0.5
PLAIN_TICK_S = 15.0  # between two frames where the output is no terminal


class DemoFailed(RuntimeError):
    """The demo can't go on; the message says what failed and where to look."""


class BaseModel:
    """The tiny base model, pre-trained in a thread of its own while people write the first demonstrations."""

    def __init__(self, *, seed: int, num_examples: int) -> None:
        self.stage = stages.Stage("pre-training", 0, unit="step", running=True)
        self.folder: Path | None = None
        self.error: Exception | None = None
        threading.Thread(target=self._make, args=(seed, num_examples), daemon=True).start()

    def _make(self, seed: int, num_examples: int) -> None:
        started = time.monotonic()

        def on_progress(step: int, total_steps: int) -> None:
            self.stage.done, self.stage.total = step, total_steps
            self.stage.busy_s = time.monotonic() - started

        try:
            cache = settings.VAR / "base_models"
            self.folder = pretraining.ensure(cache=cache, seed=seed, num_examples=num_examples, on_progress=on_progress)
        except Exception as error:  # raised again by the thread that watches
            self.error = error
        self.stage.running = False


class Demo:
    def __init__(self, *, rounds: int, seed: int, port: int, sizes: Sizes = STANDARD) -> None:
        self.seed = seed
        self.rounds = rounds
        self.sizes = sizes
        self.console = Console(width=None if sys.stdout.isatty() else 132)
        self.started = time.monotonic()
        self.parts = Parts(port=port)
        self.people: People | None = None

    def run(self, *, serve: bool) -> None:
        call_command("migrate", verbosity=0)
        self.base = BaseModel(seed=self.seed, num_examples=self.sizes.num_corpus)
        self.world = world.create(seed=self.seed, rounds=self.rounds, sizes=self.sizes)
        self.parts.start(beside=self._language_model())
        self.parts.wait_ready()
        self.console.print(view.addresses(url=self.parts.url, password=world.PASSWORD, var=str(settings.VAR)))
        if not self._finished():
            self._take_up()
            self._simulate()
        self._tables()
        if serve:
            self._serve()

    def close(self) -> None:
        if self.people is not None:
            self.people.stop()
        self.parts.stop()

    def _language_model(self) -> list[Part]:
        """The judge that the project's settings name, for as long as the demo runs."""
        port = world.language_model_port(project=self.world.project)
        command = [sys.executable, "-m", language_model.__name__, str(port)]
        return [] if port is None else [Part("language-model", command, port=port)]

    def _take_up(self) -> None:
        """What ended an earlier start must not end this one: failed runs get new attempts, a paused loop goes on."""
        project = self.world.project
        for run in project.runs.filter(state=Run.State.FAILED):
            runs.retry(run=run)
        if project.state == Project.State.PAUSED:
            projects.start(project=project)
            project.refresh_from_db()

    def _simulate(self) -> None:
        tokens = world.tokens(project=self.world.project)
        self.people = People(url=self.parts.url, project=world.SLUG, tokens=tokens, seed=self.seed)
        self.people.start()
        with Live(console=self.console, refresh_per_second=4) as live:
            printed = 0.0
            while not self._finished():
                self._advance()
                frame = self._frame()
                live.update(frame)
                if not self.console.is_terminal and time.monotonic() - printed > PLAIN_TICK_S:
                    printed = time.monotonic()
                    self.console.print(frame)
                time.sleep(TICK_S)
            live.update(self._frame())
        self.people.stop()

    def _advance(self) -> None:
        """Take the steps that only the demo can take: the import, the start of the loop, the audits."""
        self._raise_faults()
        project = self.world.project
        project.refresh_from_db()
        waits = project.state == Project.State.SETUP or (
            project.state == Project.State.FINISHED and project.loop["num_rounds"] != self.rounds
        )
        if waits and self.base.folder is not None and not world.num_open_demonstrations(project=project):
            world.import_demonstrations(world=self.world)
            world.activate(world=self.world, base_model=str(self.base.folder))
        audit.advance(world=self.world, now=timezone.now())

    def _raise_faults(self) -> None:
        self.parts.check()
        for error in (self.base.error, self.people.failure if self.people else None):
            if error is not None:
                raise DemoFailed(f"{type(error).__name__}: {error}") from error
        failed = self.world.project.runs.filter(state=Run.State.FAILED).first()
        if failed is not None:
            raise DemoFailed(
                f"{failed} failed: {failed.error.strip()[-500:]} (folder: {settings.RUNS_ROOT / str(failed.pk)})"
            )
        if self.world.project.state == Project.State.PAUSED:
            raise DemoFailed(f"the loop paused: {self.world.project.state_reason}")

    def _finished(self) -> bool:
        return audit.done(world=self.world)

    def _stages(self) -> list[stages.Stage]:
        base = [self.base.stage] if self.base.stage.total else []
        return base + stages.read(project=self.world.project, now=timezone.now())

    def _frame(self) -> RenderableType:
        waiting = self.people.num_retries if self.people else 0
        note = f"{view.duration(time.monotonic() - self.started)} so far" + (
            f", {waiting} retries by people" * bool(waiting)
        )
        note += ", waiting for the last overview" * audit.judged(world=self.world)
        return view.screen(stages=self._stages(), note=note)

    def _tables(self) -> None:
        self.console.print(report.versions(project=self.world.project))
        self.console.print(report.reward_models(reports=audit.reports(project=self.world.project)))
        total_s = time.monotonic() - self.started
        self.console.print(report.budget(stages=self._stages(), total_s=total_s))

    def _serve(self) -> None:
        world.keep_open(world=self.world)
        self.console.print(f"Serving on {self.parts.url} until Ctrl-C; the next round's tasks wait for you.")
        connection.close()
        self.parts.serve()
