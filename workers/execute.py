"""One claimed run, from its folder to its end: start the child, beat while it lives, collect what it made.

Whatever ends this process, the run goes on: the child dies with it, the heartbeat stops, and another attempt starts
from the newest checkpoint. A lost claim is final: the child is stopped and nothing is written.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.db import InterfaceError, OperationalError, connection
from django.utils import timezone

from rlhf import alarms, machines, metrics, runs, samples
from rlhf.learning.checkpoint import MACHINE
from rlhf.learning.starter import Child, Starter, StarterDied
from rlhf.models import Run
from rlhf.runs import Beat, Claim, Progress
from workers import collect, freeze, rundir
from workers.heart import beating

log = logging.getLogger(__name__)

BEAT_S = 1.0
POLL_S = 0.02
GRACE_S = 15.0  # for a child to write its checkpoint after SIGTERM
RELATED = ("policy", "reward_model", "sft", "snapshot", "demonstrations", "evaluation", "judge")
BAD_INPUT = 2  # exit codes: docs/run_folder.md
STALL_S: dict[str, float] = {
    Run.Kind.ESTIMATE: 600.0,
    Run.Kind.JUDGE: 1_800.0,
    Run.Kind.SAMPLE: 1_800.0,
}  # without a metric line
LONGEST_STALL_S = 3_600.0  # a large model may take this long for its first step


@dataclass
class Worker:
    """A process that takes runs of one resource, one at a time."""

    resource: str
    name: str
    starter: Starter
    stopping: threading.Event = field(default_factory=threading.Event)
    on_beat: Callable[[Progress], None] = lambda progress: None  # for who watches this process
    on_alarm: Callable[[str], None] = lambda message: None

    def work(self) -> int:
        """Claim and execute until no run is queued or the worker is to stop; how many it took."""
        num_taken = 0
        while not self.stopping.is_set():
            claim = runs.claim(resource=self.resource, worker=self.name, now=timezone.now())
            if claim is None:
                break
            num_taken += 1
            self.execute(claim)
        return num_taken

    def execute(self, claim: Claim) -> None:
        run = Run.objects.select_related("project", *RELATED).get(pk=claim.run_id)
        log.info("run %s (%s) attempt %s starts", run.pk, run.plan_key, claim.attempt)
        try:
            if run.kind == Run.Kind.FREEZE:
                _freeze(run, claim)
            else:
                self._run_child(run, claim)
        except Exception as error:  # a bug of ours, or the database: the run says so, and the worker goes on
            log.exception("run %s attempt %s", run.pk, claim.attempt)
            runs.crash(claim=claim, now=timezone.now(), error=f"{type(error).__name__}: {error}")

    def _run_child(self, run: Run, claim: Claim) -> None:
        try:
            # Copying a large snapshot takes a while, and so does waiting for a starter that still imports.
            with beating(claim=claim, progress=Progress(phase="prepare")):
                folder = rundir.prepare(run=run, claim=claim)
                child = self.starter.run(kind=run.kind, folder=folder)
        except rundir.BadInput as error:
            runs.fail(claim=claim, now=timezone.now(), error=str(error))
            return
        except StarterDied as error:
            runs.crash(claim=claim, now=timezone.now(), error=str(error))
            return
        stall_s = STALL_S.get(Run.Kind(run.kind), LONGEST_STALL_S)
        watch = Watch(claim, folder, child, stall_s, on_beat=self.on_beat, on_alarm=self.on_alarm)
        try:
            end = watch.until_end(self.stopping)
        finally:
            child.kill()  # nothing where it has ended; after an error here nobody would watch it
        _conclude(run, claim, end, watch)


@dataclass(frozen=True)
class End:
    """How a child came to its end: by itself with a code, or stopped for a reason."""

    code: int | None = None
    reason: str = ""  # cancel, lost, stopping or stalled


@dataclass
class Watch:
    """A child at work: its signs of life, its metric lines, its log."""

    claim: Claim
    folder: Path
    child: Child
    stall_s: float
    on_beat: Callable[[Progress], None]
    on_alarm: Callable[[str], None]
    offset: int = 0  # of metrics.jsonl, read so far
    last: dict[str, Any] = field(default_factory=dict)
    machine: dict[str, str] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)  # names of alarms

    def until_end(self, stopping: threading.Event) -> End:
        signed_at = time.monotonic()
        while True:
            code = self._wait(BEAT_S, stopping)
            signed_at = time.monotonic() if self.copy_metrics() else signed_at
            if code is not None:
                return End(code=code)
            beat = self.beat()
            if beat == Beat.LOST:
                self.child.kill()
                return End(reason="lost")
            if beat == Beat.CANCEL or stopping.is_set():
                self._stop()
                return End(reason="cancel" if beat == Beat.CANCEL else "stopping")
            if time.monotonic() - signed_at > self.stall_s:
                self.child.kill()
                return End(reason="stalled")

    def _wait(self, seconds: float, stopping: threading.Event) -> int | None:
        deadline = time.monotonic() + seconds
        while (code := self.child.poll()) is None and time.monotonic() < deadline and not stopping.is_set():
            time.sleep(POLL_S)
        return code

    def _stop(self) -> None:
        """SIGTERM, a while to write the checkpoint, SIGKILL; beating, so that nobody else takes the run meanwhile."""
        self.child.terminate()
        deadline = time.monotonic() + GRACE_S
        while self.child.poll() is None and time.monotonic() < deadline:
            self.beat()
            self._wait(BEAT_S, threading.Event())
        self.child.kill()

    def progress(self) -> Progress:
        return Progress(
            step=self.last.get("step", 0),
            total_steps=self.last.get("total_steps", 0),
            phase=self.last.get("phase", ""),
            log=self.log_tail(),
        )

    def beat(self) -> Beat:
        progress = self.progress()
        self.on_beat(progress)
        try:
            return runs.heartbeat(claim=self.claim, now=timezone.now(), progress=progress)
        except (OperationalError, InterfaceError) as error:
            # The child is well, the database is not: go on, the claim tells later whether the run is still ours.
            log.warning("run %s: heartbeat failed: %s", self.claim.run_id, error)
            connection.close()
            return Beat.LIVE

    def copy_metrics(self) -> bool:
        """Store the metric lines that are new; whether there were any."""
        lines = self._new_lines()
        # An alarm, or an answer at a checkpoint, is no step of its own.
        raised = [line for line in lines if alarms.is_alarm(line=line)]
        sampled = [line for line in lines if samples.is_sample(line=line)]
        steps = [line for line in lines if not (alarms.is_alarm(line=line) or samples.is_sample(line=line))]
        self.last = steps[-1] if steps else self.last
        self._tell(raised)
        if lines:
            try:
                metrics.record(claim=self.claim, lines=steps)
                alarms.record(claim=self.claim, lines=raised)
                samples.record(claim=self.claim, lines=sampled)
                self._tell_machine()
            except (OperationalError, InterfaceError) as error:
                log.warning("run %s: %s metric lines are late: %s", self.claim.run_id, len(lines), error)
                connection.close()
                self.offset = 0  # all lines again next time; those that are stored are left alone
        return bool(lines)

    def _tell_machine(self) -> None:
        """Once: the child writes it before its first line."""
        path = self.folder / MACHINE
        if not self.machine and path.exists():
            self.machine = json.loads(path.read_text())
            machines.note(claim=self.claim, machine=self.machine)

    def _tell(self, raised: list[dict[str, Any]]) -> None:
        for line in raised:
            if line["alarm"] not in self.told:
                self.told.add(line["alarm"])
                log.warning("run %s: alarm at step %s: %s", self.claim.run_id, line["step"], line["message"])
                self.on_alarm(f"alarm at step {line['step']}: {line['message']}")

    def _new_lines(self) -> list[dict[str, Any]]:
        path = self.folder / "metrics.jsonl"
        if not path.exists():
            return []
        with path.open("rb") as file:
            file.seek(self.offset)
            # The last line may be half written.
            whole, newline, _ = file.read().rpartition(b"\n")
        self.offset += len(whole) + len(newline)
        # JSON in a database knows no NaN.
        return [json.loads(line, parse_constant=lambda _: None) for line in whole.splitlines()]

    def log_tail(self) -> str:
        path = self.folder / "log.txt"
        if not path.exists():
            return ""
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - runs.LOG_CHARACTERS))
            # PostgreSQL stores no NUL character.
            return file.read().decode(errors="replace").replace("\0", "")


def _conclude(run: Run, claim: Claim, end: End, watch: Watch) -> None:
    now = timezone.now()
    if end.reason == "lost":
        log.warning("run %s attempt %s was lost to another attempt; its child is stopped", run.pk, claim.attempt)
    elif end.reason == "stopping":
        runs.release(claim=claim, now=now)
    elif end.reason == "stalled":
        runs.crash(claim=claim, now=now, error=f"no metric line for {watch.stall_s:g} s")
    elif end.reason == "cancel":
        runs.cancelled(claim=claim, now=now)
    elif end.code == 0:
        watch.beat()  # the last step counts at once
        with beating(claim=claim, progress=watch.progress()):
            _collect(run, claim)
    elif end.code == BAD_INPUT:
        runs.fail(claim=claim, now=now, error=_last_line(watch.log_tail()))
    else:
        runs.crash(claim=claim, now=now, error=f"the child ended with {end.code}: {_last_line(watch.log_tail())}")
    log.info("run %s (%s) attempt %s ends: %s", run.pk, run.plan_key, claim.attempt, end.reason or f"exit {end.code}")


def _collect(run: Run, claim: Claim) -> None:
    try:
        done = collect.collect(run=run, claim=claim, now=timezone.now())
    except (collect.BadOutput, rundir.BadInput) as error:
        runs.crash(claim=claim, now=timezone.now(), error=str(error))
        return
    if not done:
        runs.cancelled(claim=claim, now=timezone.now())


def _freeze(run: Run, claim: Claim) -> None:
    try:
        with beating(claim=claim, progress=Progress(phase="freeze")):
            snapshot = freeze.freeze(run=run)
    except freeze.NothingToFreeze as error:
        runs.fail(claim=claim, now=timezone.now(), error=str(error))
        return
    result = {"metrics": {"num_rows": snapshot.num_rows}}
    if not runs.succeed(claim=claim, now=timezone.now(), result=result, made_snapshot=snapshot):
        runs.cancelled(claim=claim, now=timezone.now())


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "it said nothing")


def open_worker(*, resource: str) -> Worker:
    """A worker of this process. On the cpu side nothing imports torch, so a child of its own Python is quick enough."""
    return Worker(
        resource=resource,
        name=f"{resource}-{os.getpid()}@{socket.gethostname()}",
        starter=Starter(warm=resource == Run.Resource.GPU),
    )
