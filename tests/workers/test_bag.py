"""The bag of best answers goes from one round's best-of-N to the next one's, as a snapshot."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from rlhf.learning import tables
from rlhf.learning.starter import Starter
from rlhf.models import Project, Run
from tests.workers import hands, world
from workers.execute import Worker

pytestmark = pytest.mark.usefixtures("sqlite_database")


def _rows(run: Run, name: str, schema: Any) -> list[dict[str, Any]]:
    return tables.read_table(Path(settings.RUNS_ROOT) / str(run.pk) / str(run.attempt) / name, schema)


def test_the_second_round_trains_on_the_first_ones_better_answers_too(
    llama_path: Path, gpu: Worker, cpu: Worker
) -> None:
    best_of_n = {**world.SETTINGS["best_of_n"], "bag_size": 1, "sampling": {"num_samples": 3}}
    project = world.project(
        model=llama_path, num_prompts=30, policy_training="best_of_n", num_best_of_n_prompts=16, num_rounds=2,
        num_compare_tasks=0, best_of_n=best_of_n,
    )  # fmt: skip

    world.turn_until_finished(project=project, workers=[cpu, gpu], who=world.labeler(project=project))

    assert project.state == Project.State.FINISHED
    first, second = (Run.objects.get(plan_key=f"candidate/{number}") for number in (1, 2))
    assert first.snapshot is None and first.made_snapshot is not None
    assert second.snapshot == first.made_snapshot and second.made_snapshot is not None
    handed, kept = _rows(first, "bag.parquet", tables.BAG), _rows(second, "bag.parquet", tables.BAG)
    assert _rows(second, "data/bag.parquet", tables.BAG) == handed
    assert first.made_snapshot.num_rows == len(handed) and second.made_snapshot.num_rows == len(kept)
    # What the second round trained on: an answer of each prompt, of whichever round it is best.
    assert set(Counter(row["prompt_id"] for row in kept).values()) == {1}
    assert second.result["metrics"]["num_chosen"] == len(kept)
    old = {row["prompt_id"]: row for row in kept if row["round"] == 0}
    assert second.result["metrics"]["num_from_earlier_rounds"] == len(old)
    answered = [row for row in _rows(second, "rows.parquet", tables.BEST_OF_N_ROWS) if row["finished"]]
    asked_again = {row["prompt_id"] for row in answered} & set(old)
    assert asked_again
    for row in answered:
        if row["prompt_id"] in asked_again:
            assert row["score"] <= old[row["prompt_id"]]["score"]
    before = {row["prompt_id"]: row["completion"] for row in handed}
    assert all(row["completion"] == before[prompt_id] for prompt_id, row in old.items())
    assert {row["scorer"] for row in kept} != {row["scorer"] for row in handed}  # the round's own reward model


@pytest.fixture
def hand(warm: Starter) -> Worker:
    return Worker(resource=Run.Resource.CPU, name="hand", starter=warm)


def test_without_a_bag_nothing_is_handed_on(hand: Worker) -> None:
    project = hands.project(policy_training="best_of_n", num_rounds=2, num_compare_tasks=0)
    for _ in range(4):
        hands.turn_until_idle(project=project, worker=hand)
        hands.label(project=project)

    assert [run.snapshot for run in Run.objects.filter(kind="best_of_n")] == [None, None]
