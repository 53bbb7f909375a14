"""Executing a run: real children, killed, cancelled and refused; whatever happens, outputs exist only with success."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.utils import timezone

from rlhf import completions, leftovers, runs, snapshots, versions
from rlhf.learning import tables
from rlhf.learning.starter import Child, Starter
from rlhf.models import Completion, DatasetSnapshot, ModelVersion, Project, Run
from rlhf.runs import Claim
from tests.learning.rows import demonstration_rows
from tests.workers import world
from workers import collect, rundir
from workers.execute import Worker

pytestmark = pytest.mark.django_db

TEXT = {"max_prompt_tokens": 64, "max_completion_tokens": 6}


class Watched:
    """A starter that does something to each child as soon as it has left a file of this name."""

    def __init__(self, starter: Starter, file: str, act: Callable[[Child], None]) -> None:
        self.starter, self.file, self.act = starter, file, act

    def run(self, *, kind: str, folder: Path) -> Child:
        child = self.starter.run(kind=kind, folder=folder)
        threading.Thread(target=self._watch, args=(child, folder), daemon=True).start()
        return child

    def _watch(self, child: Child, folder: Path) -> None:
        while child.poll() is None and not (folder / self.file).exists():
            time.sleep(0.005)
        self.act(child)


@pytest.fixture
def project(llama_path: Path) -> Project:
    return world.project(model=llama_path)


def ask_sample(project: Project, key: str = "sample") -> Run:
    prompt_ids = list(project.prompts.order_by("id").values_list("pk", flat=True)[:5])
    return runs.ask(
        project=project, kind="sample", plan_key=key, policy=versions.base(project=project), now=timezone.now(),
        configuration={"sampling": {"num_samples": 2}, "text": TEXT},
        selection={"prompt_ids": prompt_ids},
    )  # fmt: skip


def ask_sft(project: Project, tmp_path: Path, key: str) -> Run:
    """SFT of some 60 steps, with a checkpoint at every second one."""
    parquet, jsonl = tmp_path / "demonstrations.parquet", tmp_path / "demonstrations.jsonl"
    rows = demonstration_rows(24, 4)
    tables.write_table(parquet, tables.DEMONSTRATIONS, rows)
    tables.write_jsonl(jsonl, tables.DEMONSTRATIONS, rows)
    configuration = {
        "text": TEXT, "batch_size": 4, "micro_batch_size": 4, "num_epochs": 12,
        "engine": {"seed": 3, "checkpoint_every": 2},
    }  # fmt: skip
    return runs.ask(
        project=project, kind="sft", plan_key=key, policy=versions.base(project=project), configuration=configuration,
        snapshot=snapshots_store(project, parquet, jsonl, len(rows)), now=timezone.now(),
    )  # fmt: skip


def snapshots_store(project: Project, parquet: Path, jsonl: Path, num_rows: int) -> DatasetSnapshot:
    return snapshots.store(
        project=project, configuration="demonstrations", iteration=0, parameters={}, parquet=parquet, jsonl=jsonl,
        num_rows=num_rows,
    )  # fmt: skip


def test_a_sample_run_leaves_completions_metrics_and_progress(project: Project, gpu: Worker) -> None:
    run = ask_sample(project)

    assert gpu.work() == 1

    run.refresh_from_db()
    assert (run.state, run.attempt, run.worker) == ("succeeded", 1, "gpu-test")
    assert run.step == run.total_steps > 0
    assert run.metrics.filter(attempt=1).count() > 0
    assert sorted(completions.by_prompt(run=run)) == run.selection["prompt_ids"]
    assert [row.sample_index for row in completions.by_prompt(run=run)[run.selection["prompt_ids"][0]]] == [0, 1]


def test_a_model_that_is_not_there_fails_at_once_with_one_sentence(project: Project, gpu: Worker) -> None:
    ModelVersion.objects.create(project=project, kind="base", name="base", source="/nowhere/model")
    run = ask_sample(project)

    gpu.work()

    run.refresh_from_db()
    assert (run.state, run.attempt) == ("failed", 1)
    assert "/nowhere/model" in run.error and "\n" not in run.error
    assert not Completion.objects.exists()


def test_a_snapshot_with_other_bytes_is_refused(project: Project, gpu: Worker, tmp_path: Path) -> None:
    run = ask_sft(project, tmp_path, "sft")
    assert run.snapshot is not None
    default_storage.delete(run.snapshot.parquet)
    default_storage.save(run.snapshot.parquet, ContentFile(b"something else"))

    gpu.work()

    run.refresh_from_db()
    assert run.state == "failed"
    assert f"expected sha256 {run.snapshot.sha256}, found" in run.error


@pytest.mark.parametrize("how", ["kill", "terminate"])
def test_a_child_that_is_ended_in_the_middle_is_made_up_for_with_the_same_weights(
    project: Project, gpu: Worker, tmp_path: Path, how: str
) -> None:
    undisturbed = ask_sft(project, tmp_path, "undisturbed")
    gpu.work()
    disturbed = ask_sft(project, tmp_path, "disturbed")
    starter = Watched(gpu.starter, "checkpoint/LATEST", lambda child: getattr(child, how)())

    claim = runs.claim(resource="gpu", worker="w", now=timezone.now())
    assert claim is not None
    Worker(resource="gpu", name="w", starter=starter).execute(claim)  # type: ignore[arg-type]

    disturbed.refresh_from_db()
    assert disturbed.state == "queued"
    gpu.work()
    disturbed.refresh_from_db()
    undisturbed.refresh_from_db()
    assert (disturbed.state, disturbed.attempt) == ("succeeded", 2)
    assert (rundir.folder_of(claim=Claim(disturbed.pk, 2)) / "checkpoint").is_dir()
    assert disturbed.made_version.weights_sha256 == undisturbed.made_version.weights_sha256
    steps = list(disturbed.metrics.filter(attempt=2).order_by("step").values_list("step", flat=True))
    assert steps == list(undisturbed.metrics.order_by("step").values_list("step", flat=True))


def test_a_worker_that_is_stopped_gives_its_run_back_with_a_checkpoint(
    project: Project, gpu: Worker, tmp_path: Path
) -> None:
    run = ask_sft(project, tmp_path, "sft")
    worker = Worker(resource="gpu", name="w", starter=gpu.starter)
    worker.starter = Watched(gpu.starter, "checkpoint/LATEST", lambda _: worker.stopping.set())  # type: ignore[assignment]

    assert worker.work() == 1

    run.refresh_from_db()
    assert (run.state, run.attempt, run.max_attempts) == ("queued", 1, runs.ATTEMPTS + 1)
    assert (rundir.folder_of(claim=Claim(run.pk, 1)) / "checkpoint" / "LATEST").exists()


def test_a_cancelled_run_stops_its_child(project: Project, gpu: Worker, tmp_path: Path) -> None:
    run = ask_sft(project, tmp_path, "sft")
    children: list[Child] = []
    starter = Watched(gpu.starter, "log.txt", children.append)
    claim = runs.claim(resource="gpu", worker="w", now=timezone.now())
    assert claim is not None
    runs.request_cancel(run=run, now=timezone.now())

    Worker(resource="gpu", name="w", starter=starter).execute(claim)  # type: ignore[arg-type]

    run.refresh_from_db()
    assert run.state == "cancelled"
    assert run.made_version is None and not ModelVersion.objects.filter(kind="sft").exists()
    assert children[0].wait(5) is not None


def test_a_worker_whose_claim_was_lost_changes_nothing(project: Project, gpu: Worker, tmp_path: Path) -> None:
    run = ask_sft(project, tmp_path, "sft")
    lost = runs.claim(resource="gpu", worker="thought dead", now=timezone.now())
    assert lost is not None
    runs.requeue_stale(now=timezone.now() + timedelta(minutes=1), stale_s=20)
    runs.claim(resource="gpu", worker="next", now=timezone.now())
    before = Run.objects.filter(pk=run.pk).values().get()

    gpu.execute(lost)

    assert Run.objects.filter(pk=run.pk).values().get() == before
    assert not ModelVersion.objects.filter(kind="sft").exists()


def test_rows_of_an_attempt_that_did_not_succeed_are_never_seen_and_swept(project: Project, gpu: Worker) -> None:
    run = ask_sample(project)
    claim = runs.claim(resource="gpu", worker="w", now=timezone.now())
    assert claim is not None
    folder = rundir.prepare(run=run, claim=claim)
    assert gpu.starter.run(kind="sample", folder=folder).wait(60) == 0
    runs.requeue_stale(now=timezone.now() + timedelta(minutes=1), stale_s=20)

    assert not collect.collect(run=run, claim=claim, now=timezone.now())

    assert Completion.objects.count() == 10
    assert not completions.visible().exists()
    gpu.work()
    assert completions.visible().count() == 10
    assert leftovers.sweep() == 10
    assert completions.visible().count() == Completion.objects.count() == 10


def test_an_output_that_was_changed_is_not_collected(project: Project, gpu: Worker) -> None:
    run = ask_sample(project)
    claim = runs.claim(resource="gpu", worker="w", now=timezone.now())
    assert claim is not None
    folder = rundir.prepare(run=run, claim=claim)
    assert gpu.starter.run(kind="sample", folder=folder).wait(60) == 0
    (folder / "rows.parquet").write_bytes(b"other bytes")

    with pytest.raises(collect.BadOutput, match="rows.parquet: expected sha256"):
        collect.collect(run=run, claim=claim, now=timezone.now())


def test_a_judge_run_over_chosen_pairs_keeps_their_scores_in_its_result(
    project: Project, gpu: Worker, cpu: Worker
) -> None:
    who = world.labeler(project=project)
    world.turn_until_finished(project=project, workers=[cpu, gpu], who=who)
    shown = completions.by_prompt(run=Run.objects.get(plan_key="sample/1/ranking"))
    pairs = [[rows[0].pk, rows[1].pk] for rows in shown.values()][:3]
    run = runs.ask(
        project=project, kind="judge", plan_key="audit", purpose="audit", selection={"pairs": pairs},
        now=timezone.now(), configuration={"text": TEXT}, reward_model=ModelVersion.objects.get(name="rm1"),
    )  # fmt: skip

    gpu.work()

    run.refresh_from_db()
    assert run.state == "succeeded"
    assert [row[0] for row in run.result["rows"]] == [0, 1, 2]
    assert all(isinstance(score, float) for row in run.result["rows"] for score in row[1:])
