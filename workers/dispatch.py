"""The dispatcher: requeue what went silent, wake workers where runs are queued, plan what comes next.

Every turn starts from the database, so a turn that fails is made up for by the next one.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import InterfaceError, OperationalError, connection
from django.utils import timezone

from rlhf import leftovers, runs
from rlhf.models import Project, Run
from workers import jobs, loop, overview, requested, supervise

log = logging.getLogger(__name__)

TURN_S = 0.3
OVERVIEW_EVERY = 4  # turns: idle projects with verdicts are looked at too
REQUESTED_ANYWAY = timedelta(minutes=1)
SWEEP_EVERY = 200  # turns: about a minute


@dataclass
class Dispatcher:
    stopping: threading.Event = field(default_factory=threading.Event)
    complaints: dict[str, str] = field(default_factory=dict)  # by what failed: said once, not every turn
    requested: dict[int, tuple[str, datetime]] = field(default_factory=dict)  # by project: what was planned, and when
    has_network: bool = False  # whether the worker that waits for servers has been asked for

    def run(self) -> None:
        num_turns = 0
        while not self.stopping.wait(TURN_S):
            try:
                if num_turns % OVERVIEW_EVERY == 0:
                    self.plan_overviews(now=timezone.now())
                self.turn(now=timezone.now())
                if num_turns % SWEEP_EVERY == 0:
                    leftovers.sweep()
                num_turns += 1
                self._well("the database")
            except DatabaseError as error:
                self._complain("the database", str(error))
                connection.close()

    def turn(self, *, now: datetime) -> None:
        self.plan(now=now)
        self._wake()

    def plan(self, *, now: datetime) -> None:
        """Requeue silent runs, and ask for what every active project lacks next."""
        num_stale = runs.requeue_stale(now=now, stale_s=settings.RUN_STALE_S)
        if num_stale:
            log.warning("%s silent runs are taken from their workers", num_stale)
        for project in Project.objects.filter(state=Project.State.ACTIVE).order_by("id"):
            self._guard(f"project {project.slug}", partial(loop.plan, project=project, now=now))

    def plan_overviews(self, *, now: datetime, patient: bool = True) -> None:
        """Ask for the overview of every project whose verdicts have changed, whatever state its loop is in."""
        for project in requested.projects():
            self._guard(f"evaluations of {project.slug}", partial(self._plan_requested, project, now))
        for project in Project.objects.order_by("id"):
            self._guard(
                f"overview of {project.slug}", partial(overview.plan, project=project, now=now, patient=patient)
            )

    def _plan_requested(self, project: Project, now: datetime) -> None:
        """Where something has changed; now and then in any case, for what is not looked at to find out."""
        there = requested.content(project=project)
        before, planned_at = self.requested.get(project.pk, ("", now))
        if there != before or now - planned_at > REQUESTED_ANYWAY:
            requested.plan(project=project, now=now)
            self.requested[project.pk] = there, now

    def _guard(self, what: str, plan: Callable[[], None]) -> None:
        try:
            plan()
            self._well(what)
        except (OperationalError, InterfaceError):  # no database: no project can be planned
            raise
        except Exception as error:  # one project's trouble must not stop the others
            if self._complain(what, f"{type(error).__name__}: {error}"):
                log.exception("planning: %s", what)

    def _wake(self) -> None:
        waiting = Run.objects.filter(state=Run.State.QUEUED).values_list("resource", flat=True).distinct()
        for resource in waiting.order_by("resource"):
            if resource == Run.Resource.NETWORK and not self.has_network:
                supervise.ensure(part=resource)
                self.has_network = True
            try:
                jobs.wake(resource=resource)
                self._well("the broker")
            except jobs.BrokerDown as error:
                self._complain("the broker", str(error))

    def _complain(self, what: str, message: str) -> bool:
        """Whether this is news."""
        is_news = self.complaints.get(what) != message
        if is_news:
            log.warning("%s: %s", what, message)
        self.complaints[what] = message
        return is_news

    def _well(self, what: str) -> None:
        if self.complaints.pop(what, None) is not None:
            log.info("%s is well again", what)
