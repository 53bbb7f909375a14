"""The loop: one round from nothing to a decision, each step asked for once, the same every time."""

from __future__ import annotations

from pathlib import Path

import pytest

from annotate.models import Task
from rlhf.models import DatasetSnapshot, Estimate, ModelVersion, Project, Promotion, Prompt, Run, Verdict
from tests.workers import world
from workers.execute import Worker

pytestmark = pytest.mark.django_db


@pytest.fixture
def project(llama_path: Path) -> Project:
    return world.project(model=llama_path)


def test_one_round_goes_from_demonstrations_to_a_decision(project: Project, gpu: Worker, cpu: Worker) -> None:
    who = world.labeler(project=project)

    world.turn_until_finished(project=project, workers=[cpu, gpu], who=who)

    assert project.state == Project.State.FINISHED
    versions = {version.name: version for version in ModelVersion.objects.all()}
    assert set(versions) == {"base", "v0", "rm1", "bon1", "v1", "value1"}
    assert versions["v1"].parent == versions["bon1"] and versions["bon1"].parent == versions["v0"]
    assert [(row.candidate.name, row.baseline and row.baseline.name) for row in Promotion.objects.order_by("id")] == [
        ("v0", None),
        ("v1", "v0"),
    ]
    assert sorted(DatasetSnapshot.objects.values_list("configuration", flat=True))[:2] == ["demonstrations", "rankings"]
    decided = Promotion.objects.get(candidate__name="v1")
    assert decided.estimate is not None and decided.estimate.judge.kind == "people"
    assert decided.estimate.num_verdicts == Verdict.objects.filter(judge__kind="people").count() == 3
    assert decided.promoted == (decided.estimate.low > 0.5)
    judged = Estimate.objects.get(run=decided.estimate.run, judge__kind="reward_model", split="held_out")
    assert (
        judged.num_prompts == Prompt.objects.filter(split="held_out", tasks__kind__in=("rank", "demonstrate")).count()
    )
    assert set(Run.objects.values_list("state", "attempt")) == {("succeeded", 1)}


def test_planning_twice_asks_once(project: Project, gpu: Worker, cpu: Worker) -> None:
    who = world.labeler(project=project)
    for _ in range(10):
        for _ in range(2):
            world.plan(project=project)
        keys = list(Run.objects.values_list("plan_key", flat=True))
        tasks = list(Task.objects.values_list("batch", "prompt"))
        assert len(keys) == len(set(keys)) and len(tasks) == len(set(tasks))
        cpu.work()
        gpu.work()
        world.answer_everything(who=who)
    assert Run.objects.filter(plan_key="reward/1", state="succeeded").count() == 1


def test_demonstrations_are_asked_for_until_there_are_enough_and_not_once_more(project: Project) -> None:
    world.plan(project=project)
    train = Task.objects.filter(batch="demonstrations", prompt__split="train")
    assert train.count() == 6
    assert Task.objects.filter(batch="demonstrations", prompt__split="held_out").count() == 4  # 6 * .4 / .6

    world.answer_everything(who=world.labeler(project=project))
    world.plan(project=project)
    assert train.count() == 6
    assert Run.objects.get().plan_key == "freeze/demonstrations"


def test_opening_goes_on_where_a_crash_left_it(project: Project) -> None:
    world.plan(project=project)
    opened = set(Task.objects.values_list("prompt", flat=True))
    Task.objects.filter(pk__in=Task.objects.order_by("id").values_list("pk", flat=True)[3:]).delete()

    world.plan(project=project)

    assert set(Task.objects.values_list("prompt", flat=True)) == opened


def test_without_demonstrations_the_base_model_is_the_first_version(project: Project) -> None:
    project.loop["num_demonstrations"] = 0
    project.save()
    world.plan(project=project)
    world.plan(project=project)

    assert ModelVersion.objects.get(is_current=True).name == "v0"
    run = Run.objects.get()
    assert (run.plan_key, run.policy.source) == ("sample/1/ranking", project.base_model)


def test_prompts_of_the_try_it_page_stay_out(project: Project) -> None:
    project.loop["num_demonstrations"] = 0
    project.save()
    tried = project.prompts.filter(split="train")[:20]
    Prompt.objects.filter(pk__in=list(tried.values_list("pk", flat=True))).update(source="try")
    world.plan(project=project)
    world.plan(project=project)

    chosen = Run.objects.get().selection["prompt_ids"]
    assert len(chosen) == 10
    assert not Prompt.objects.filter(pk__in=chosen, source="try").exists()


def test_a_failed_run_is_not_asked_for_again(project: Project) -> None:
    project.loop["num_demonstrations"] = 0
    project.save()
    world.plan(project=project)
    world.plan(project=project)
    Run.objects.update(state=Run.State.FAILED)

    world.plan(project=project)

    assert Run.objects.get().state == "failed"


def test_seeds_and_prompts_are_the_same_in_every_database(llama_path: Path) -> None:
    first, second = (_first_sample(world.project(model=llama_path, slug=slug)) for slug in ("first", "second"))

    assert second.pk != first.pk
    assert second.configuration == first.configuration
    assert _chosen(second) == _chosen(first)


def _first_sample(project: Project) -> Run:
    project.loop["num_demonstrations"] = 0
    project.save()
    world.plan(project=project)
    world.plan(project=project)
    return Run.objects.get(project=project)


def _chosen(run: Run) -> list[str]:
    hashes = dict(run.project.prompts.values_list("pk", "sha256"))
    return [hashes[pk] for pk in run.selection["prompt_ids"]]
