"""Alarms of a child reach the database beside its steps, and whoever watches the worker, once each."""

from __future__ import annotations

import io
import json
import threading
from pathlib import Path

import pytest
from rich.console import Console

from rlhf import alarms, runs, versions
from rlhf.learning.alarms import Alarm
from rlhf.learning.starter import Child
from rlhf.models import Project, Run, RunAlarm
from rlhf.runs import Claim
from tests.workers import hands
from tests.workers.hands import NOW
from workers import foreground
from workers.execute import Watch

pytestmark = pytest.mark.django_db
LENGTH = Alarm("length drifts", 1.7, 1.6, "Answers are getting longer.", "Look at the length shortcut.")
ENTROPY = Alarm("entropy collapses", 0.8, 0.7, "The policy says [red]one[/red] thing.", "Raise kl_coefficient.")


@pytest.fixture
def claimed() -> tuple[Project, Claim]:
    project = hands.project()
    runs.ask(
        project=project, kind="sample", plan_key="run", policy=versions.base(project=project), now=NOW, iteration=1
    )
    claim = runs.claim(resource="gpu", worker="w", now=NOW)
    assert claim is not None
    return project, claim


def write(folder: Path, *lines: dict[str, object]) -> None:
    with (folder / "metrics.jsonl").open("a") as file:
        file.writelines(json.dumps({"total_steps": 9, "time": 1.0, "phase": "train", **line}) + "\n" for line in lines)


def line_of(alarm: Alarm, step: int) -> dict[str, object]:
    return {"step": step, "phase": "alarm", "alarm": alarm.name, "message": str(alarm)}


def test_alarms_are_told_once_and_hide_no_step(claimed: tuple[Project, Claim], tmp_path: Path) -> None:
    project, claim = claimed
    told: list[str] = []
    nobody: Child = None  # type: ignore[assignment]  # nothing here waits for it
    watch = Watch(claim, tmp_path, nobody, 60, on_beat=lambda progress: None, on_alarm=told.append)

    write(tmp_path, {"step": 1, "kl": 1.0}, line_of(LENGTH, 2), line_of(ENTROPY, 2), {"step": 2, "kl": 2.0})
    assert watch.copy_metrics()
    watch.offset = 0  # the database was away: all lines again
    write(tmp_path, line_of(LENGTH, 3), {"step": 3, "kl": 3.0})
    assert watch.copy_metrics()

    run = Run.objects.get()
    assert list(run.metrics.values_list("step", "values__kl")) == [(1, 1.0), (2, 2.0), (3, 3.0)]
    assert [(row.step, row.name) for row in alarms.of_run(run=run)] == [(2, LENGTH.name), (2, ENTROPY.name)]
    assert told == [f"alarm at step 2: {LENGTH}", f"alarm at step 2: {ENTROPY}"]
    assert watch.progress().phase == "train"


def test_alarms_of_earlier_attempts_and_rounds_do_not_count(claimed: tuple[Project, Claim]) -> None:
    project, claim = claimed
    alarms.record(claim=claim, lines=[line_of(LENGTH, 2)])
    assert [row.message for row in alarms.of_round(project=project)] == [str(LENGTH)]

    Run.objects.update(attempt=2)
    assert alarms.of_round(project=project) == [] == list(alarms.of_run(run=Run.objects.get()))

    alarms.record(claim=Claim(claim.run_id, 2), lines=[line_of(ENTROPY, 4)])
    assert [row.name for row in alarms.of_round(project=project)] == [ENTROPY.name]
    Run.objects.create(project=project, kind="sample", resource="gpu", plan_key="next", iteration=2)
    assert alarms.of_round(project=project) == []
    assert RunAlarm.objects.count() == 2


def test_the_terminal_of_a_worker_says_them_as_they_are(claimed: tuple[Project, Claim]) -> None:
    class Raising:
        name = "raising"

        def execute(self, claim: Claim) -> None:
            self.on_alarm(f"alarm at step 2: {ENTROPY}")  # type: ignore[attr-defined]

    text = io.StringIO()
    work = foreground.Foreground(threading.Event(), Console(file=text, width=300))
    work._execute(Raising(), claimed[1])  # type: ignore[arg-type]

    assert "small · run: alarm at step 2: entropy collapses: found 0.8, alarm at 0.7." in text.getvalue()
    assert "The policy says [red]one[/red] thing. Raise kl_coefficient." in text.getvalue()
