"""Freezing: the rows that count, in an order of their own, the same bytes whenever they are frozen."""

from __future__ import annotations

import pytest
from django.core.files.storage import default_storage

from rlhf import runs
from rlhf.learning import tables
from rlhf.models import Project, Run
from rlhf.snapshots import open_parquet
from tests.workers import hands
from tests.workers.hands import NOW, label
from workers import freeze, loop

pytestmark = pytest.mark.django_db


@pytest.fixture
def project() -> Project:
    made = hands.project()
    loop.plan(project=made, now=NOW)
    return made


def ask(project: Project, key: str = "freeze", **selection: object) -> Run:
    return runs.ask(project=project, kind="freeze", plan_key=key, selection=selection, now=NOW)


def test_a_snapshot_holds_every_answer_that_counts(project: Project) -> None:
    num_answers = label(project=project)
    snapshot = freeze.freeze(run=ask(project, dataset="demonstrations"))

    assert (snapshot.configuration, snapshot.num_rows) == ("demonstrations", num_answers)
    with default_storage.open(snapshot.jsonl, "rb") as file:
        assert len(file.read().splitlines()) == num_answers


def test_freezing_twice_gives_the_same_bytes(project: Project) -> None:
    label(project=project)
    first = freeze.freeze(run=ask(project, dataset="demonstrations"))
    second = freeze.freeze(run=ask(project, key="again", dataset="demonstrations"))
    assert first == second


def test_a_snapshot_does_not_change_with_later_answers(project: Project) -> None:
    label(project=project, limit=3)
    before = freeze.freeze(run=ask(project, dataset="demonstrations"))
    label(project=project)
    after = freeze.freeze(run=ask(project, key="again", dataset="demonstrations"))

    assert (before.num_rows, after.num_rows) == (3, 7)
    with open_parquet(snapshot=before) as file:
        assert file.read(4) == b"PAR1"
    assert before.sha256 != after.sha256
    assert tables.DEMONSTRATIONS.names[0] == "demonstration_id"


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ({"dataset": "demonstrations"}, "demonstrations: expected rows that count, found none"),
        ({"dataset": "poems"}, "dataset: expected one of demonstrations, rankings, verdicts, found 'poems'"),
        ({}, "dataset: expected one of .*, found None"),
    ],
)
def test_nothing_to_freeze_is_said_and_nothing_is_stored(
    project: Project, selection: dict[str, str], message: str
) -> None:
    with pytest.raises(freeze.NothingToFreeze, match=message):
        freeze.freeze(run=ask(project, **selection))
    assert not project.snapshots.exists()
