"""A run folder: what the run was asked for, checked, from the furthest checkpoint on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rlhf import runs, versions
from rlhf.learning import checkpoint, journal, tables
from rlhf.models import Project, Prompt, Run
from rlhf.runs import Claim
from tests.rlhf.rows import version
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


def columns(folder: Path, name: str, schema: Any) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in tables.read_table(folder / "data" / f"{name}.parquet", schema)]


def test_ideal_answers_lie_beside_the_rows_where_a_run_has_them(project: Project) -> None:
    snapshot = demonstrations(project)
    prompt_ids = list(project.prompts.values_list("pk", flat=True)[:2])
    run = ask(
        project, kind="ppo", selection={"prompt_ids": prompt_ids}, demonstrations=snapshot,
        reward_model=version(project, "rm1", kind="reward", source="rm1"), sft=versions.base(project=project),
    )  # fmt: skip
    folder = rundir.prepare(run=run, claim=claim())
    assert tables.sha256(folder / "data" / "demonstrations.parquet") == snapshot.sha256
    assert len(columns(folder, "prompts", tables.PROMPTS)) == 2


def test_a_reward_run_puts_its_head_on_the_sft_version_and_measures_its_gain_on_the_policy(project: Project) -> None:
    sft = versions.register(project=project, kind="sft", name="v0", source="sft")
    run = ask(project, kind="reward", sft=sft, snapshot=demonstrations(project))
    config = json.loads((rundir.prepare(run=run, claim=claim()) / "config.json").read_text())
    assert (config["model"], config["policy"]) == ("sft", "tiny")


def ask_grpo(project: Project, rewards: dict[str, Any]) -> Run:
    prompt_ids = list(project.prompts.order_by("id").values_list("pk", flat=True)[:2])
    return ask(project, kind="grpo", selection={"prompt_ids": prompt_ids}, configuration={"rewards": rewards})


def test_a_verifier_reads_the_targets_of_the_prompts_and_which_ask_for_safety(project: Project) -> None:
    one, other = project.prompts.order_by("id")[:2]
    Prompt.objects.filter(pk=one.pk).update(target="42", category="Safety")
    Prompt.objects.filter(pk=other.pk).update(target="7")
    run = ask_grpo(project, {"verifier": "number"})

    folder = rundir.prepare(run=run, claim=claim())

    assert columns(folder, "targets", tables.TARGETS) == [(one.pk, "42", True), (other.pk, "7", False)]
    assert json.loads((folder / "config.json").read_text())["reward_model"] is None  # the verifier alone decides


def test_a_verifier_without_a_target_is_bad_input(project: Project) -> None:
    bare = project.prompts.order_by("id")[1]
    Prompt.objects.exclude(pk=bare.pk).update(target="42")
    run = ask_grpo(project, {"verifier": "number"})
    with pytest.raises(rundir.BadInput, match=f"1 prompts have no target, the first is prompt {bare.pk}"):
        rundir.prepare(run=run, claim=claim())


def test_further_reward_models_are_named_as_versions_of_the_project(project: Project) -> None:
    for name in ("rm1", "rm2", "rm3"):
        versions.register(project=project, kind="reward", name=name, source=f"at/{name}")
    prompt_ids = list(project.prompts.values_list("pk", flat=True)[:2])
    configuration = {"rewards": {"models": ["rm2"], "safety_model": "rm3"}, "held_out_reward_model": "rm2"}
    run = ask(
        project, kind="ppo", selection={"prompt_ids": prompt_ids}, configuration=configuration,
        reward_model=project.versions.get(name="rm1"), sft=versions.base(project=project),
    )  # fmt: skip
    config = json.loads((rundir.prepare(run=run, claim=claim()) / "config.json").read_text())
    assert config["rewards"]["models"] == ["at/rm2"] and config["rewards"]["safety_model"] == "at/rm3"
    assert config["held_out_reward_model"] == "at/rm2"


@pytest.mark.parametrize("name", ["rm9", "base", "/etc"])
def test_what_is_no_reward_model_of_the_project_is_bad_input(project: Project, name: str) -> None:
    reward_model = versions.register(project=project, kind="reward", name="rm1", source="at/rm1")
    run = ask(project, kind="grpo", reward_model=reward_model, configuration={"rewards": {"safety_model": name}})
    with pytest.raises(rundir.BadInput, match=f"rewards.safety_model: expected the name .* found '{name}'"):
        rundir.prepare(run=run, claim=claim())


def write_checkpoint(folder: Path, step: int) -> None:
    checkpoint.write(folder, step, lambda path: (path / "state").write_text(f"state {step}") and None, {})
    lines = [json.dumps({"step": number, "total_steps": 9}) + "\n" for number in range(1, step + 2)]
    (folder / "metrics.jsonl").write_text("".join(lines))


def test_an_attempt_goes_on_with_what_the_one_before_it_has_paid_for(project: Project) -> None:
    wanted = list(project.prompts.values_list("pk", flat=True)[:2])
    run = ask(project, kind="sample", selection={"prompt_ids": wanted})
    for entries in ("a\n", "a\nb\n"):
        token = claim()
        (rundir.prepare(run=run, claim=token) / journal.NAME).write_text(entries)
        runs.crash(claim=token, now=NOW, error="x")

    assert (rundir.prepare(run=run, claim=claim()) / journal.NAME).read_text() == "a\nb\n"


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


@pytest.mark.parametrize("step", [0, 2])
def test_best_of_n_goes_on_with_the_samples_that_its_training_began_with(project: Project, step: int) -> None:
    reward_model = versions.register(project=project, kind="reward", name="rm1", source="at/rm1")
    wanted = list(project.prompts.values_list("pk", flat=True)[:2])
    run = ask(project, kind="best_of_n", selection={"prompt_ids": wanted}, reward_model=reward_model)
    token = claim()
    folder = rundir.prepare(run=run, claim=token)
    for name in ("rows.parquet", "bag.parquet"):
        (folder / name).write_text(name)
    lines = [{"step": number, "total_steps": 9} for number in (0, 0, *range(1, step + 2))]
    if step:
        write_checkpoint(folder, step)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    runs.crash(claim=token, now=NOW, error="x")

    folder = rundir.prepare(run=run, claim=claim())

    assert [(folder / name).read_text() for name in ("rows.parquet", "bag.parquet")] == ["rows.parquet", "bag.parquet"]
    logged = [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert logged == [0, 0, *range(1, step + 1)]


def test_the_rows_of_another_kind_are_its_end_and_not_handed_on(project: Project) -> None:
    run = ask(project, kind="sft", snapshot=demonstrations(project))
    token = claim()
    (rundir.prepare(run=run, claim=token) / "rows.parquet").write_text("rows")
    runs.crash(claim=token, now=NOW, error="x")

    assert not (rundir.prepare(run=run, claim=claim()) / "rows.parquet").exists()
