"""Collecting: outputs exist if and only if the run has succeeded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rlhf import runs, versions
from rlhf.learning import tables
from rlhf.models import ModelVersion, Project, ReportCard, Run
from rlhf.runs import Claim
from tests.workers import hands
from tests.workers.hands import NOW
from workers import collect, rundir

pytestmark = pytest.mark.django_db


@pytest.fixture
def project() -> Project:
    return hands.project()


def trained(project: Project, *, kind: str = "sft", purpose: str = "loop", iteration: int = 0) -> tuple[Run, Claim]:
    """A run whose child has left a model."""
    base = versions.base(project=project)
    run = runs.ask(
        project=project, kind=kind, plan_key=kind, purpose=purpose, iteration=iteration, policy=base, now=NOW
    )
    claim = runs.claim(resource="gpu", worker="w", now=NOW)
    assert claim is not None
    leave(rundir.folder_of(claim=claim), "model/model.safetensors", "model/config.json")
    return run, claim


def leave(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"content of {name}")
    outputs = {name: tables.sha256(folder / name) for name in names}
    (folder / "result.json").write_text(json.dumps({"kind": "sft", "metrics": {"loss": 0.5}, "outputs": outputs}))


def test_a_model_becomes_a_version_with_parent_and_metrics(project: Project) -> None:
    run, claim = trained(project)

    assert collect.collect(run=run, claim=claim, now=NOW)

    run.refresh_from_db()
    made = run.made_version
    assert made is not None and (made.name, made.number, made.kind) == ("v0", 0, "sft")
    assert made.parent == versions.base(project=project) and made.metrics == {"loss": 0.5}
    assert (Path(versions.local_path(version=made)) / "config.json").exists()
    assert made.weights_sha256 == run.result["outputs"]["model/model.safetensors"]


def test_a_run_outside_the_loop_makes_a_version_under_a_name_of_its_own(project: Project) -> None:
    run, claim = trained(project, purpose="")
    assert collect.collect(run=run, claim=claim, now=NOW)
    assert ModelVersion.objects.get(kind="sft").name == f"sft-{run.pk}"


@pytest.mark.parametrize("how", ["lost", "cancelled"])
def test_a_claim_that_is_not_good_any_more_leaves_no_version(project: Project, how: str) -> None:
    run, claim = trained(project)
    if how == "lost":
        runs.crash(claim=claim, now=NOW, error="thought dead")
    else:
        runs.request_cancel(run=run, now=NOW)

    assert not collect.collect(run=run, claim=claim, now=NOW)

    assert not ModelVersion.objects.filter(kind="sft").exists()
    run.refresh_from_db()
    assert run.state in ("queued", "running") and run.made_version is None


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("no result", "expected result.json"),
        ("changed", "model/config.json: expected sha256 .*, found"),
        ("gone", "model/config.json: expected sha256 .*, found no file"),
        ("no weights", "model/model.safetensors: expected among the outputs"),
    ],
)
def test_a_folder_that_is_not_what_it_says_is_refused(project: Project, damage: str, message: str) -> None:
    run, claim = trained(project)
    folder = rundir.folder_of(claim=claim)
    if damage == "no result":
        (folder / "result.json").unlink()
    elif damage == "changed":
        (folder / "model/config.json").write_text("other")
    elif damage == "gone":
        (folder / "model/config.json").unlink()
    else:
        leave(folder, "model/config.json")

    with pytest.raises(collect.BadOutput, match=message):
        collect.collect(run=run, claim=claim, now=NOW)
    assert not ModelVersion.objects.filter(kind="sft").exists()


def test_the_report_card_of_a_reward_model_is_kept_with_its_hash(project: Project) -> None:
    run, claim = trained(project, kind="reward", iteration=1)
    folder = rundir.folder_of(claim=claim)
    (folder / "report.json").write_text('{"accuracy": {"mean": 0.75, "low": NaN}}')
    outputs = {name: tables.sha256(folder / name) for name in ("model/model.safetensors", "report.json")}
    (folder / "result.json").write_text(json.dumps({"kind": "reward", "metrics": {}, "outputs": outputs}))

    assert collect.collect(run=run, claim=claim, now=NOW)

    card = ReportCard.objects.get()
    assert (card.version.name, card.project) == ("rm1", project)
    assert card.content == {"accuracy": {"mean": 0.75, "low": None}}  # JSON in a database knows no NaN
    assert card.sha256 == outputs["report.json"]


def test_a_lost_claim_leaves_no_report_card(project: Project) -> None:
    run, claim = trained(project, kind="reward", iteration=1)
    folder = rundir.folder_of(claim=claim)
    (folder / "report.json").write_text("{}")
    outputs = {name: tables.sha256(folder / name) for name in ("model/model.safetensors", "report.json")}
    (folder / "result.json").write_text(json.dumps({"kind": "reward", "metrics": {}, "outputs": outputs}))
    runs.crash(claim=claim, now=NOW, error="thought dead")

    assert not collect.collect(run=run, claim=claim, now=NOW)
    assert not ReportCard.objects.exists()


@pytest.mark.parametrize("kind", ["dpo", "ppo", "grpo"])
def test_what_the_loop_trains_from_rewards_or_rankings_is_a_numbered_candidate(project: Project, kind: str) -> None:
    run = Run(project=project, kind=kind, purpose="loop", iteration=3)
    assert collect.identity(run=run) == (kind, "v3", 3)


def test_best_of_n_is_a_candidate_only_where_it_ends_the_round(project: Project) -> None:
    found = [
        collect.identity(run=Run(project=project, kind="best_of_n", purpose=purpose, iteration=3))
        for purpose in ("loop", collect.CANDIDATE)
    ]
    assert found == [("best_of_n", "bon3", None), ("best_of_n", "v3", 3)]


def test_shards_have_one_hash_together(project: Project) -> None:
    run, claim = trained(project)
    leave(
        rundir.folder_of(claim=claim),
        "model/model-00001-of-00002.safetensors",
        "model/model-00002-of-00002.safetensors",
    )
    assert collect.collect(run=run, claim=claim, now=NOW)
    assert len(ModelVersion.objects.get(kind="sft").weights_sha256) == 64
