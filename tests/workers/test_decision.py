"""The end of an iteration: who answers, when estimates are made, what is decided and what a project does then."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from annotate.models import Protocol, Task
from rlhf import evaluations, judges, loop_settings, versions
from rlhf.evaluations import NewVerdict
from rlhf.models import Estimate, Evaluation, ModelVersion, Project, Promotion, Prompt, Run, Verdict
from tests.annotate import rows as labeling
from tests.rlhf import rows
from tests.workers import world
from workers import decision
from workers.execute import Worker
from workers.turn import Turn

pytestmark = pytest.mark.django_db


@pytest.fixture
def project() -> Project:
    return world.project(model="tiny", num_compare_tasks=4)


@pytest.fixture
def v0(project: Project) -> ModelVersion:
    version = rows.version(project, "v0", 0)
    versions.promote_first(version=version, now=timezone.now())
    return version


@pytest.fixture
def v1(project: Project, v0: ModelVersion) -> ModelVersion:
    rows.version(project, "rm1", kind="reward", weights_sha256="r")
    return rows.version(project, "v1", 1, iteration=1, parent=v0)


@pytest.fixture
def held_out(project: Project) -> list[Prompt]:
    """Held-out prompts that people have ranked answers for."""
    chosen = list(project.prompts.filter(split="held_out").order_by("id")[:6])
    for prompt in chosen:
        task = labeling.task(project=project, kind=Protocol.Kind.RANK, prompt=prompt)
        Task.objects.filter(pk=task.pk).update(state=Task.State.DONE)
    return chosen


def evaluate(v1: ModelVersion, current: ModelVersion, *, later: timedelta = timedelta(0)) -> None:
    project = Project.objects.get(pk=v1.project_id)
    settings = loop_settings.parse(project.loop)
    turn = Turn(project=project, settings=settings, now=timezone.now() + later, iteration=1)
    first = ModelVersion.objects.get(project=project, name="v0")
    decision.evaluate(turn, v1, current, first)


def answer(version: ModelVersion, prompts: list[Prompt], text: str) -> None:
    """What the version's evaluation run would have left."""
    key = f"sample/1/evaluation/{version.name}"
    by = rows.run(version.project, purpose="evaluation", policy=version, plan_key=key)
    for prompt in prompts:
        rows.answer(prompt, version, by, text)


def judge(evaluation: Evaluation) -> None:
    """What the judge run would have left: the candidate is better everywhere."""
    run = Run.objects.get(kind="judge", evaluation=evaluation)
    candidate = evaluations.answers(version=evaluation.candidate)
    baseline = evaluations.answers(version=evaluation.baseline)
    verdicts = [NewVerdict(pk, candidate[pk].pk, baseline[pk].pk, 1.0) for pk in candidate]
    reward = ModelVersion.objects.get(name="rm1")
    evaluations.record_verdicts(
        evaluation=evaluation, judge=judges.reward_judge(version=reward), verdicts=verdicts, run=run, attempt=1
    )
    Run.objects.filter(pk=run.pk).update(state=Run.State.SUCCEEDED, attempt=1)


def bring_to_comparing(v1: ModelVersion, v0: ModelVersion, held_out: list[Prompt], text: str) -> Evaluation:
    """Answers are in, the reward model has judged, tasks are open."""
    answer(v0, held_out, "A word.")
    answer(v1, held_out, text)
    evaluate(v1, v0)
    evaluation = Evaluation.objects.get()
    judge(evaluation)
    evaluate(v1, v0)
    return evaluation


def estimate(v1: ModelVersion, v0: ModelVersion, cpu: Worker) -> None:
    """Let the freeze and the estimate run happen."""
    for _ in range(3):
        evaluate(v1, v0)
        cpu.work()


def test_each_version_is_asked_for_the_answers_that_it_has_not_given(
    v0: ModelVersion, v1: ModelVersion, held_out: list[Prompt]
) -> None:
    answer(v0, held_out[:2], "A word.")
    Run.objects.filter(policy=v0).update(plan_key="sample/0/evaluation/v0")

    evaluate(v1, v0)

    asked = {run.policy.name: run.selection["prompt_ids"] for run in Run.objects.filter(state="queued")}
    assert asked == {
        "v0": [prompt.pk for prompt in held_out[2:]],
        "v1": [prompt.pk for prompt in held_out],
    }


def test_the_first_estimate_is_made_when_the_reward_model_has_judged(
    v0: ModelVersion, v1: ModelVersion, held_out: list[Prompt], cpu: Worker
) -> None:
    bring_to_comparing(v1, v0, held_out, "Many more words.")

    estimate(v1, v0, cpu)

    found = Estimate.objects.get(split="held_out")
    assert (found.judge.kind, found.num_prompts, found.wins) == ("reward_model", 6, 6)
    assert not Promotion.objects.filter(candidate=v1).exists()
    assert Task.objects.filter(kind="compare", state="open").count() == 4


@pytest.mark.parametrize(("text", "promoted"), [("Many more words.", True), ("No.", False)])
def test_people_decide_once_every_comparison_is_in(
    v0: ModelVersion, v1: ModelVersion, held_out: list[Prompt], cpu: Worker, text: str, promoted: bool
) -> None:
    evaluation = bring_to_comparing(v1, v0, held_out, text)
    estimate(v1, v0, cpu)
    world.answer_everything(who=world.labeler(project=v1.project))

    estimate(v1, v0, cpu)
    evaluate(v1, v0)

    promotion = Promotion.objects.get(candidate=v1)
    assert promotion.promoted == promoted
    assert versions.current(project=v1.project) == (v1 if promoted else v0)
    used = promotion.estimate
    assert used is not None and used.evaluation == evaluation
    assert (used.judge.kind, used.num_verdicts) == ("people", 4)
    assert Run.objects.filter(kind="estimate").count() == 2


def test_a_verdict_that_took_the_place_of_another_is_estimated_before_the_decision(
    v0: ModelVersion, v1: ModelVersion, held_out: list[Prompt], cpu: Worker
) -> None:
    evaluation = bring_to_comparing(v1, v0, held_out, "Many more words.")
    estimate(v1, v0, cpu)
    world.answer_everything(who=world.labeler(project=v1.project))
    evaluate(v1, v0)  # asks for the estimate of all four
    old = Verdict.objects.filter(judge__kind="people").earliest("id")
    cpu.work()
    evaluations.withdraw_verdicts(verdicts=Verdict.objects.filter(pk=old.pk), now=timezone.now())
    changed = NewVerdict(old.prompt_id, old.candidate_completion_id, old.baseline_completion_id, 0.0, old.rater)
    changed = replace(changed, position=old.position, replicate=1)
    evaluations.record_verdicts(evaluation=evaluation, judge=old.judge, verdicts=[changed])

    estimate(v1, v0, cpu)
    evaluate(v1, v0)

    used = Promotion.objects.get(candidate=v1).estimate
    assert used is not None and (used.num_verdicts, used.wins, used.losses) == (4, 3, 1)


def test_comparisons_that_stay_away_leave_the_current_version(
    v0: ModelVersion, v1: ModelVersion, held_out: list[Prompt]
) -> None:
    bring_to_comparing(v1, v0, held_out, "Many more words.")

    evaluate(v1, v0, later=timedelta(hours=167))
    assert not Promotion.objects.filter(candidate=v1).exists()
    evaluate(v1, v0, later=timedelta(hours=169))

    promotion = Promotion.objects.get(candidate=v1)
    assert not promotion.promoted and "168 hours" in promotion.reason
    assert versions.current(project=v1.project) == v0
    assert set(Task.objects.filter(kind="compare").values_list("state", flat=True)) == {"closed"}


def test_two_losses_in_a_row_pause_the_project_and_say_why(
    project: Project, v0: ModelVersion, v1: ModelVersion, held_out: list[Prompt]
) -> None:
    lost = rows.version(project, "v00", 1)
    versions.reject_late(candidate=lost, baseline=v0, hours=1, now=timezone.now())
    bring_to_comparing(v1, v0, held_out, "Many more words.")

    evaluate(v1, v0, later=timedelta(hours=169))

    project.refresh_from_db()
    assert project.state == Project.State.PAUSED
    assert project.state_reason.startswith("2 candidates in a row were not promoted")


def test_a_project_that_asks_for_no_comparisons_takes_every_candidate(
    project: Project, v0: ModelVersion, v1: ModelVersion, held_out: list[Prompt], cpu: Worker
) -> None:
    set_loop(project, num_compare_tasks=0)
    bring_to_comparing(v1, v0, held_out, "No.")

    estimate(v1, v0, cpu)
    evaluate(v1, v0)

    promotion = Promotion.objects.get(candidate=v1)
    assert promotion.promoted and "no comparisons" in promotion.reason


def test_the_sft_version_is_a_baseline_too_once_another_is_current(
    project: Project, v0: ModelVersion, v1: ModelVersion, held_out: list[Prompt]
) -> None:
    current = rows.version(project, "v05", 1, parent=v0)
    for version in (v0, current, v1):
        answer(version, held_out, f"{version.name} says so.")

    evaluate(v1, current)

    assert set(Evaluation.objects.values_list("candidate__name", "baseline__name")) == {("v1", "v05"), ("v1", "v0")}
    batches = Task.objects.filter(kind="compare")
    assert set(batches.values_list("batch", flat=True)) == {"compare/1/v05", "compare/1/v0"}
    asked = {
        batch: set(batches.filter(batch=batch).values_list("prompt", flat=True))
        for batch in ("compare/1/v05", "compare/1/v0")
    }
    assert asked["compare/1/v05"] == asked["compare/1/v0"]


def set_loop(project: Project, **settings: Any) -> None:
    Project.objects.filter(pk=project.pk).update(loop={**project.loop, **settings})
