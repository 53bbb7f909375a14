"""The order of the steps, round after round, whoever plans and however often."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from annotate.models import Demonstration, Task
from rlhf import loop_settings, runs, versions
from rlhf.learning.starter import Starter
from rlhf.models import Estimate, Evaluation, Judge, ModelVersion, Project, Promotion, Run
from tests.workers import hands
from tests.workers.hands import NOW, label, turn_until_idle
from workers import loop
from workers.execute import Worker
from workers.turn import seed_of

pytestmark = pytest.mark.usefixtures("sqlite_database")


@pytest.fixture
def hand(warm: Starter) -> Worker:
    """Freezes and estimates for real; the warm process spares each estimate an import."""
    return Worker(resource=Run.Resource.CPU, name="hand", starter=warm)


def to_the_decision(project: Project, hand: Worker) -> None:
    """Up to the comparisons of the current round, which stay open."""
    turn_until_idle(project=project, worker=hand)
    while not Task.objects.filter(project=project, kind="compare", state="open").exists():
        assert label(project=project)
        turn_until_idle(project=project, worker=hand)


def open_batches(project: Project) -> dict[str, int]:
    rows = Task.objects.filter(project=project, state="open").order_by("batch").values_list("batch", flat=True)
    return {batch: list(rows).count(batch) for batch in rows}


def test_the_steps_of_a_round_in_their_order(hand: Worker) -> None:
    project = hands.project()

    assert turn_until_idle(project=project, worker=hand) == []
    assert open_batches(project) == {"demonstrations": 7}  # 4 of the train split, and held-out ones in proportion
    assert label(project=project) == 7
    assert turn_until_idle(project=project, worker=hand) == ["freeze/demonstrations", "sft", "sample/1/ranking"]
    assert open_batches(project) == {"rank/1": 16}
    label(project=project)
    assert turn_until_idle(project=project, worker=hand) == [
        "freeze/rankings/1", "reward/1", "best_of_n/1", "ppo/1",
        "sample/1/evaluation/v1", "sample/1/evaluation/v0", "judge/1/v1-v0", "freeze/verdicts/1/15", "estimate/1/15",
    ]  # fmt: skip
    assert open_batches(project) == {"compare/1/v0": 12}
    label(project=project)
    assert turn_until_idle(project=project, worker=hand) == ["freeze/verdicts/1/27", "estimate/1/27"]

    project.refresh_from_db()
    assert (project.state, project.state_reason) == ("finished", "1 rounds are done")
    assert versions.current(project=project) == project.versions.get(name="v1")


def test_planning_again_at_any_moment_asks_for_nothing_twice(hand: Worker) -> None:
    project = hands.project()

    def rows() -> list[int]:
        return [model.objects.count() for model in (Run, Task, ModelVersion, Evaluation, Promotion, Judge)]

    for _ in range(40):
        project.refresh_from_db()
        if project.state != Project.State.ACTIVE:
            break
        loop.plan(project=project, now=NOW)
        before = rows()
        loop.plan(project=project, now=NOW)
        assert rows() == before
        claim = runs.claim(resource="gpu", worker="w", now=NOW) or runs.claim(resource="cpu", worker="w", now=NOW)
        if claim is not None:
            hands.finish(claim=claim, worker=hand)
        elif not label(project=project, limit=5):
            loop.plan(project=project, now=NOW)
    assert project.state == Project.State.FINISHED


@pytest.mark.usefixtures("either_database")
def test_four_planners_at_once_plan_once() -> None:
    project, start = hands.project(), threading.Barrier(4)

    def plan(_: int) -> None:
        start.wait()
        try:
            loop.plan(project=project, now=NOW)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(plan, range(4)))
    assert open_batches(project) == {"demonstrations": 7}
    label(project=project)
    start.reset()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(plan, range(4)))
    assert list(Run.objects.values_list("plan_key", flat=True)) == ["freeze/demonstrations"]


def test_people_who_prefer_the_old_version_keep_it(hand: Worker) -> None:
    project = hands.project(num_rounds=None)
    to_the_decision(project, hand)
    label(project=project, prefer="baseline")
    keys = turn_until_idle(project=project, worker=hand)

    decision = Promotion.objects.get(candidate__name="v1")
    assert not decision.promoted and decision.estimate is not None
    assert decision.estimate.judge.kind == "people" and decision.estimate.split == "held_out"
    assert decision.estimate.win_rate == 0
    assert keys[-1] == "sample/2/ranking"  # the next round starts, from the version that stayed
    assert Run.objects.get(plan_key="sample/2/ranking").policy == versions.current(project=project)
    assert versions.current(project=project) == project.versions.get(name="v0")


def test_the_reward_model_alone_decides_nothing(hand: Worker) -> None:
    project = hands.project()
    to_the_decision(project, hand)

    assert Estimate.objects.filter(judge__kind="reward_model", win_rate=1).exists()
    assert not Promotion.objects.filter(candidate__name="v1").exists()


def test_the_second_round_answers_against_the_current_and_the_first_version(hand: Worker) -> None:
    project = hands.project(num_rounds=None)
    for _ in range(2):
        to_the_decision(project, hand)
        label(project=project)
        turn_until_idle(project=project, worker=hand)

    pairs = [(row.candidate.name, row.baseline.name) for row in Evaluation.objects.filter(iteration=2)]
    assert pairs == [("v2", "v1"), ("v2", "v0")]
    reward = Run.objects.get(plan_key="reward/2")
    assert reward.reward_model == project.versions.get(name="rm1")  # goes on from the one before
    assert reward.snapshot is not None and reward.snapshot.num_rows == 32  # rankings of both rounds
    assert Run.objects.get(plan_key="best_of_n/2").policy == project.versions.get(name="v1")
    assert Run.objects.get(plan_key="ppo/2").policy == project.versions.get(name="bon2")
    # What a version has answered already it is not asked again.
    asked = Run.objects.filter(purpose="evaluation").values_list("policy__name", "selection")
    seen = [(name, prompt_id) for name, selection in asked for prompt_id in selection["prompt_ids"]]
    assert len(seen) == len(set(seen))


def test_a_failed_step_is_not_asked_again_until_somebody_retries_it(hand: Worker) -> None:
    project = hands.project(num_demonstrations=0)
    loop.plan(project=project, now=NOW)
    loop.plan(project=project, now=NOW)
    claim = runs.claim(resource="gpu", worker="w", now=NOW)
    assert claim is not None
    runs.fail(claim=claim, now=NOW, error="no such model")

    assert turn_until_idle(project=project, worker=hand) == []
    runs.retry(run=Run.objects.get())
    assert turn_until_idle(project=project, worker=hand) == ["sample/1/ranking"]


def test_seeds_come_from_plan_keys_and_no_step_shares_one() -> None:
    assert seed_of(0, "ppo/1") == seed_of(0, "ppo/1") < 2**31
    assert len({seed_of(seed, key) for seed in (0, 1) for key in ("ppo/1", "ppo/2", "reward/1")}) == 6


def test_settings_that_the_loop_does_not_know_stop_the_planning() -> None:
    project = hands.project(num_prompt=5)
    with pytest.raises(loop_settings.BadLoopSettings, match="unknown settings.*num_prompt"):
        loop.plan(project=project, now=NOW)


def test_answers_set_aside_after_the_freeze_hold_nothing_up_and_plan_nothing_twice(hand: Worker) -> None:
    project = hands.project()
    to_the_decision(project, hand)
    before = list(Run.objects.values_list("plan_key", flat=True))
    Task.objects.filter(kind__in=("demonstrate", "rank")).update(state="open", num_submitted=0)  # as a pause does it
    Demonstration.objects.update(counts=False)

    assert turn_until_idle(project=project, worker=hand) == []
    assert list(Run.objects.values_list("plan_key", flat=True)) == before
    while open_batches(project).keys() & {"compare/1/v0"}:
        label(project=project)
    assert turn_until_idle(project=project, worker=hand) == ["freeze/verdicts/1/27", "estimate/1/27"]
    assert Promotion.objects.filter(candidate__name="v1").exists()
