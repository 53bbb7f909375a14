"""The ways to train a round's candidate: which runs they ask for, from what, and that the real worker can do them."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlhf import loop_settings
from rlhf.learning.starter import Starter
from rlhf.models import ModelVersion, Project, Promotion, Prompt, ReportCard, Run
from tests.workers import hands, world
from tests.workers.hands import label, turn_until_idle
from workers.execute import Worker

pytestmark = pytest.mark.usefixtures("sqlite_database")

STEPS = {
    "best_of_n": ["candidate/1"],
    "ppo": ["best_of_n/1", "ppo/1"],
    "grpo": ["best_of_n/1", "grpo/1"],
    "dpo": ["dpo/1"],
}


@pytest.fixture
def hand(warm: Starter) -> Worker:
    return Worker(resource=Run.Resource.CPU, name="hand", starter=warm)


def to_the_rankings(project: Project, hand: Worker) -> None:
    for _ in range(2):
        turn_until_idle(project=project, worker=hand)
        label(project=project)


@pytest.mark.parametrize("way", list(STEPS))
def test_a_round_is_trained_in_the_way_that_the_project_asks_for(hand: Worker, way: str) -> None:
    project = hands.project(policy_training=way)
    to_the_rankings(project, hand)

    ended = turn_until_idle(project=project, worker=hand)

    trained = ended[: ended.index("sample/1/evaluation/v1")]
    assert trained == ["freeze/rankings/1", "reward/1", *STEPS[way]]
    candidate = project.versions.get(name="v1")
    assert (candidate.kind, candidate.number) == (way, 1)
    last = Run.objects.get(plan_key=STEPS[way][-1])
    start = "bon1" if len(STEPS[way]) == 2 else "v0"
    assert last.policy == project.versions.get(name=start) and last.made_version == candidate
    assert (last.reward_model is None) == (way == "dpo")
    assert (last.snapshot is not None and last.snapshot.configuration == "rankings") == (way == "dpo")


def test_a_reward_model_has_its_zero_in_ideal_answers_and_its_gain_from_the_current_version(hand: Worker) -> None:
    project = hands.project()
    to_the_rankings(project, hand)
    turn_until_idle(project=project, worker=hand)

    reward = Run.objects.get(plan_key="reward/1")
    assert reward.demonstrations == Run.objects.get(plan_key="freeze/demonstrations").made_snapshot
    assert (reward.policy, reward.sft) == (project.versions.get(name="v0"),) * 2
    assert Run.objects.get(plan_key="ppo/1").demonstrations is None


def test_ppo_is_given_ideal_answers_where_it_mixes_them_in(hand: Worker) -> None:
    project = hands.project(ppo={**world.SETTINGS["ppo"], "ptx_coefficient": 1.0})
    to_the_rankings(project, hand)
    turn_until_idle(project=project, worker=hand)
    assert Run.objects.get(plan_key="ppo/1").demonstrations is not None


def test_without_prompts_for_best_of_n_training_starts_from_the_current_version(hand: Worker) -> None:
    project = hands.project(policy_training="grpo", num_best_of_n_prompts=0)
    to_the_rankings(project, hand)

    assert "best_of_n/1" not in turn_until_idle(project=project, worker=hand)

    assert Run.objects.get(plan_key="grpo/1").policy == project.versions.get(name="v0")


def test_a_round_ends_in_the_way_that_it_began(hand: Worker) -> None:
    project = hands.project(policy_training="dpo")
    to_the_rankings(project, hand)
    turn_until_idle(project=project, worker=hand)
    project.refresh_from_db()
    project.loop["policy_training"] = "grpo"
    project.save()

    assert turn_until_idle(project=project, worker=hand) == []

    assert not Run.objects.filter(kind__in=("grpo", "best_of_n")).exists()
    assert project.versions.get(name="v1").kind == "dpo"


def test_a_verifier_is_asked_about_prompts_with_a_target_alone(hand: Worker) -> None:
    rewards = {"rewards": {"verifier": "number"}}
    project = hands.project(policy_training="grpo", grpo={**world.SETTINGS["grpo"], **rewards})
    Prompt.objects.filter(pk__in=project.prompts.filter(split="train").order_by("id")[:3]).update(target="3")
    to_the_rankings(project, hand)
    turn_until_idle(project=project, worker=hand)

    chosen = Run.objects.get(plan_key="grpo/1").selection["prompt_ids"]
    assert set(chosen) == set(project.prompts.exclude(target="").values_list("pk", flat=True))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"policy_training": "rlhf"}, "loop.policy_training: expected one of best_of_n, ppo, dpo, grpo, found 'rlhf'"),
        ({"policy_training": "best_of_n", "num_best_of_n_prompts": 0}, "num_best_of_n_prompts: expected at least 1"),
        ({"dpo": {"beta": 0}}, "loop: beta: expected more than 0"),
        ({"grpo": {"group_size": 1}}, "loop: group_size: expected at least 2"),
        ({"grpo": {"reward_model": "x", "nonsense": 1}}, "loop: grpo: unknown keys"),
    ],
)
def test_settings_that_cannot_be_are_named(values: dict[str, object], message: str) -> None:
    with pytest.raises(loop_settings.BadLoopSettings, match=message):
        loop_settings.parse(values)


@pytest.mark.parametrize("way", ["dpo", "grpo", "best_of_n"])
def test_one_round_with_the_real_worker(llama_path: Path, gpu: Worker, cpu: Worker, way: str) -> None:
    project = world.project(model=llama_path, policy_training=way, num_best_of_n_prompts=4)

    world.turn_until_finished(project=project, workers=[cpu, gpu], who=world.labeler(project=project))

    assert project.state == Project.State.FINISHED
    made = {version.name for version in ModelVersion.objects.all()}
    assert made == {"base", "v0", "rm1", "v1"} | ({"bon1"} if way == "grpo" else set())
    assert project.versions.get(name="v1").kind == way
    assert Promotion.objects.get(candidate__name="v1").estimate is not None
    run = Run.objects.get(made_version__name="v1")
    assert run.metrics.exists() and run.state == Run.State.SUCCEEDED
    card = ReportCard.objects.get()
    assert card.version.name == "rm1"
    # Two of three completions at least are told apart on each of four held-out prompts.
    assert card.content["accuracy"]["num_pairs"] == card.version.metrics["num_pairs"] > 0
    assert set(card.content["by_labeler"]) == {project.memberships.get().pseudonym}
