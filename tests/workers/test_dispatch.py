"""The dispatcher: wakes, requeues and plans; a broker or a project in trouble stops nothing else."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from rlhf import runs
from rlhf.models import Project, Run
from tests.rlhf import rows
from tests.workers import broker, world
from workers import jobs
from workers.celery import app
from workers.dispatch import Dispatcher

pytestmark = pytest.mark.django_db


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[broker.Valkey]:
    with broker.valkey(tmp_path) as server:
        previous, app.conf.broker_url = app.conf.broker_url, server.url
        yield server
        app.conf.broker_url = previous


@pytest.fixture
def project(db: None) -> Project:
    return Project.objects.create(name="P", slug="p", base_model="tiny", salt="s")


def ask(project: Project, key: str = "freeze") -> Run:
    return runs.ask(project=project, kind="freeze", plan_key=key, now=timezone.now())


def test_a_queued_run_leaves_one_wake_message_however_often_one_looks(project: Project, valkey: broker.Valkey) -> None:
    ask(project)
    ask(project, "another")
    for _ in range(3):
        Dispatcher().turn(now=timezone.now())

    assert valkey.waiting("cpu") == 1
    assert valkey.waiting("gpu") == 0


def test_nothing_queued_wakes_nobody(project: Project, valkey: broker.Valkey) -> None:
    Dispatcher().turn(now=timezone.now())

    assert valkey.waiting("cpu") == valkey.waiting("gpu") == 0


def test_a_wake_message_names_no_run_and_expires(project: Project, valkey: broker.Valkey) -> None:
    ask(project)
    Dispatcher().turn(now=timezone.now())

    message = valkey.message("cpu")
    assert message["body"][0] == ["cpu"]
    assert message["headers"]["expires"] is not None


def test_without_a_broker_planning_goes_on_and_is_complained_of_once(
    project: Project, valkey: broker.Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    valkey.stop()
    run = ask(project)
    planned = world.project(model=Path("tiny"), slug="planned", num_demonstrations=0)
    dispatcher = Dispatcher()

    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            dispatcher.turn(now=timezone.now())

    run.refresh_from_db()
    assert run.state == "queued"
    assert Run.objects.get(project=planned).plan_key == "sample/1/ranking"
    assert len([record for record in caplog.records if "broker" in record.getMessage()]) == 1
    with pytest.raises(jobs.BrokerDown):
        jobs.wake(resource="cpu")


def test_a_project_that_cannot_be_planned_does_not_stop_the_others(
    valkey: broker.Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    bad = world.project(model=Path("tiny"), slug="bad")
    Project.objects.filter(pk=bad.pk).update(loop={"num_round": 1})
    good = world.project(model=Path("tiny"), slug="good", num_demonstrations=0)
    dispatcher = Dispatcher()

    for _ in range(2):
        dispatcher.turn(now=timezone.now())

    assert Run.objects.get(project=good).plan_key == "sample/1/ranking"
    assert "unknown settings ['num_round']" in caplog.text


def test_a_silent_run_is_queued_again(project: Project, valkey: broker.Valkey) -> None:
    silent = timezone.now() - timedelta(minutes=1)
    run = rows.run(project, kind="freeze", state="running", heartbeat_at=silent)

    Dispatcher().turn(now=timezone.now())

    run.refresh_from_db()
    assert (run.state, run.attempt) == ("queued", 1)
    assert valkey.waiting("cpu") == 1
