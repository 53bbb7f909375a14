"""Answers at checkpoints reach the database beside the steps, once each, and so does where the child works."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rlhf import machines, runs, samples, versions
from rlhf.learning import samples as told
from rlhf.learning.checkpoint import environment_of
from rlhf.learning.starter import Child
from rlhf.models import Prompt, Run, RunSample
from rlhf.prompts import add, new_prompt
from rlhf.runs import Claim
from tests.workers import hands
from tests.workers.hands import NOW
from workers.execute import Watch

pytestmark = pytest.mark.django_db


@pytest.fixture
def claim() -> Claim:
    project = hands.project()
    add(project=project, prompts=[new_prompt(value="What is tea?"), new_prompt(value="And milk?")], source="test")
    runs.ask(project=project, kind="sample", plan_key="run", policy=versions.base(project=project), now=NOW)
    found = runs.claim(resource="gpu", worker="w", now=NOW)
    assert found is not None
    return found


def watch(claim: Claim, folder: Path) -> Watch:
    nobody: Child = None  # type: ignore[assignment]  # nothing here waits for it
    return Watch(claim, folder, nobody, 60, on_beat=lambda progress: None, on_alarm=lambda message: None)


def write(folder: Path, *lines: dict[str, object]) -> None:
    with (folder / "metrics.jsonl").open("a") as file:
        file.writelines(json.dumps({"total_steps": 9, "time": 1.0, "phase": "train", **line}) + "\n" for line in lines)


def answer(step: int, prompt_id: int, text: str, score: float | None = None) -> dict[str, object]:
    return {"step": step, "phase": told.PHASE, "prompt_id": prompt_id, "completion": text, "score": score}


def test_answers_are_kept_once_and_are_no_steps(claim: Claim, tmp_path: Path) -> None:
    assert samples.PHASE == told.PHASE
    first, second = Prompt.objects.order_by("id").values_list("pk", flat=True)[:2]
    write(tmp_path, {"step": 4, "kl": 1.0}, answer(4, first, "Leaves.\0", 0.5), answer(4, second, "White."))
    write(tmp_path, answer(4, 999_999, "to nobody"))
    seen = watch(claim, tmp_path)
    assert seen.copy_metrics()
    assert seen.progress().phase == "train"
    seen.offset = 0  # the database was away: all lines again
    write(tmp_path, answer(8, first, "Hot leaves."))
    assert seen.copy_metrics()

    run = Run.objects.get()
    assert list(run.metrics.values_list("step", "values__kl")) == [(4, 1.0)]
    found = samples.of_run(run=run)
    assert [[(row.step, row.text, row.score) for row in one.samples] for one in found] == [
        [(4, "Leaves.", 0.5), (8, "Hot leaves.", None)], [(4, "White.", None)],
    ]  # fmt: skip


def test_answers_of_earlier_attempts_do_not_count_and_of_many_steps_some_are_shown(claim: Claim) -> None:
    prompt = Prompt.objects.order_by("id").first()
    assert prompt is not None
    samples.record(claim=claim, lines=[answer(step, prompt.pk, str(step)) for step in range(1, 101)])
    shown = [row.step for row in samples.of_run(run=Run.objects.get())[0].samples]
    assert len(shown) == samples.SHOWN and (shown[0], shown[-1]) == (1, 100)
    Run.objects.update(attempt=2)
    assert samples.of_run(run=Run.objects.get()) == [] and RunSample.objects.count() == 100


def test_where_the_child_works_is_noted_while_the_claim_holds(claim: Claim, tmp_path: Path) -> None:
    environment = environment_of(2, "cpu")
    (tmp_path / "machine.json").write_text(json.dumps(environment))
    write(tmp_path, {"step": 1})
    watch(claim, tmp_path).copy_metrics()
    run = Run.objects.get()
    assert run.machine == environment
    labels = dict(machines.facts(run=run))
    assert labels["CPU threads"] == "2" and labels["PyTorch"] == environment["torch"]

    machines.note(claim=Claim(claim.run_id, claim.attempt + 1), machine={"device": "another"})
    assert Run.objects.get().machine == environment
