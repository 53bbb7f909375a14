"""A run folder: what the run was asked for, checked, from the furthest checkpoint on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rlhf import runs, versions
from rlhf.learning import checkpoint, tables
from rlhf.models import Project, Run
from rlhf.runs import Claim
from tests.workers import hands
from tests.workers.hands import NOW
from tests.workers.small import demonstrations
from workers import rundir

pytestmark = pytest.mark.django_db


@pytest.fixture
def project() -> Project:
    return hands.project()


def ask(project: Project, **arguments: Any) -> Run:
    base = versions.base(project=project)
    return runs.ask(project=project, plan_key="run", policy=base, now=NOW, **arguments)


def claim() -> Claim:
    found = runs.claim(resource="gpu", worker="w", now=NOW)
    assert found is not None
    return found


def test_the_configuration_names_the_models_and_the_device(project: Project) -> None:
    run = ask(project, kind="sft", configuration={"num_epochs": 3}, snapshot=demonstrations(project))
    config = json.loads((rundir.prepare(run=run, claim=claim()) / "config.json").read_text())

    assert (config["model"], config["num_epochs"], config["engine"]["device"]) == ("tiny", 3, "auto")


def test_prompts_stand_in_the_order_of_the_selection(project: Project) -> None:
    wanted = list(project.prompts.order_by("-id").values_list("pk", flat=True)[:5])
    run = ask(project, kind="sample", selection={"prompt_ids": wanted})

    rows = tables.read_table(rundir.prepare(run=run, claim=claim()) / "data/prompts.parquet", tables.PROMPTS)

    assert [row["prompt_id"] for row in rows] == wanted


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ({"prompt_ids": []}, "expected prompt ids, found none"),
        ({"prompt_ids": [404]}, "1 prompts are gone, the first is 404"),
    ],
)
def test_a_selection_of_nothing_is_bad_input(project: Project, selection: dict[str, Any], message: str) -> None:
    run = ask(project, kind="sample", selection=selection)
    with pytest.raises(rundir.BadInput, match=message):
        rundir.prepare(run=run, claim=claim())


def test_the_snapshot_arrives_byte_for_byte(project: Project) -> None:
    snapshot = demonstrations(project)
    run = ask(project, kind="sft", snapshot=snapshot)
    folder = rundir.prepare(run=run, claim=claim())
    assert tables.sha256(folder / "data" / "demonstrations.parquet") == snapshot.sha256


def write_checkpoint(folder: Path, step: int) -> None:
    checkpoint.write(folder, step, lambda path: (path / "state").write_text(f"state {step}") and None, {})
    lines = [json.dumps({"step": number, "total_steps": 9}) + "\n" for number in range(1, step + 2)]
    (folder / "metrics.jsonl").write_text("".join(lines))


def test_an_attempt_goes_on_from_the_furthest_whole_checkpoint(project: Project) -> None:
    run = ask(project, kind="sft", snapshot=demonstrations(project))
    for steps in ([2, 4], [3], []):
        token = claim()
        folder = rundir.prepare(run=run, claim=token)
        for step in steps:
            write_checkpoint(folder, step)
        (rundir.folder_of(claim=Claim(run.pk, 1)) / "checkpoint/4/state").write_text("damaged")
        runs.crash(claim=token, now=NOW, error="x")

    folder = rundir.prepare(run=run, claim=claim())

    found = checkpoint.newest_valid(folder)
    assert found is not None and found.step == 3
    assert (folder / "checkpoint/LATEST").read_text() == "3"
    steps_logged = [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert steps_logged == [1, 2, 3]  # what came after the checkpoint is done again
