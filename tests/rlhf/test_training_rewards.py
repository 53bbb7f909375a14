"""Which judges were the training reward of which version, and which models are akin."""

import pytest

from rlhf import families, judges, training_rewards
from rlhf.models import Judge, ModelVersion, Project, Run
from tests.rlhf.rows import run, version

pytestmark = pytest.mark.django_db


def trained(
    project: Project, name: str, kind: str, parent: ModelVersion, reward: ModelVersion, **fields
) -> ModelVersion:
    made = version(project, name, kind=kind, parent=parent, **fields.pop("version", {}))
    run(project, kind, policy=parent, reward_model=reward, made_version=made, **fields)
    return made


def test_a_version_is_trained_against_its_own_reward_and_that_of_its_best_of_n_step(project):
    v0 = version(project, "v0", 0)
    rm1, rm2, rm3 = (version(project, f"rm{i}", kind="reward") for i in (1, 2, 3))
    bon1 = trained(project, "bon1", "best_of_n", v0, rm1)
    v1 = trained(project, "v1", "ppo", bon1, rm2, version={"number": 1})
    v2 = trained(project, "v2", "grpo", v1, rm3, version={"number": 2})
    found = training_rewards.by_reward_model(project=project)
    # v2 starts from v1, a candidate of its own that people have judged: rm1 and rm2 are v1's.
    assert found == {rm1.pk: [bon1.pk, v1.pk], rm2.pk: [v1.pk], rm3.pk: [v2.pk]}


def test_reward_models_that_counted_beside_the_run_own_count_too(project):
    v0 = version(project, "v0", 0)
    rm1, rm2, safety, judging = (version(project, name, kind="reward") for name in ("rm1", "rm2", "safe", "audit"))
    configuration = {
        "rewards": {"models": ["rm2", "unknown"], "safety_model": "safe"},
        "held_out_reward_model": "audit",
    }
    v1 = trained(project, "v1", "ppo", v0, rm1, configuration=configuration)
    found = training_rewards.by_reward_model(project=project)
    assert found == {rm1.pk: [v1.pk], rm2.pk: [v1.pk], safety.pk: [v1.pk]}
    assert judging.pk not in found


def test_a_run_that_failed_and_training_without_a_reward_flag_nothing(project, other_project):
    v0, rm1 = version(project, "v0", 0), version(project, "rm1", kind="reward")
    trained(project, "v1", "ppo", v0, rm1, state=Run.State.FAILED)
    run(project, "dpo", policy=v0, made_version=version(project, "v2", kind="dpo"))
    trained(other_project, "v1", "ppo", version(other_project, "v0", 0), version(other_project, "rm1", kind="reward"))
    assert training_rewards.by_reward_model(project=project) == {}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", "llama"),
        ("gpt-4o-mini", "gpt"),
        ("text-davinci-003", "gpt"),
        ("claude-3-opus", "claude"),
        ("google/gemma-2-2b-it", "gemini"),
        ("/models/Qwen2.5-7B/", "qwen"),
        ("HuggingFaceTB/smollm-135m", "smollm"),
        ("base_models/3f9a0c", "3f9a0c"),
        ("", ""),
    ],
)
def test_a_family_is_the_word_that_a_models_name_is_known_by(name, expected):
    assert families.family(name=name) == expected


def test_versions_and_judges_have_the_family_of_the_model_behind_them(project):
    project.base_model = "meta-llama/Llama-3.2-1B"
    project.save()
    v1 = version(project, "v1", 1)
    rival = version(project, "rival", kind="endpoint", endpoint={"model": "gpt-4o", "base_url": "http://x"})
    file = version(project, "claude-2", kind="answers")
    assert [families.of_version(version=one) for one in (v1, rival, file)] == ["llama", "gpt", "claude"]
    reward = judges.reward_judge(version=version(project, "rm1", kind="reward"))
    llm = Judge(project=project, kind="llm", settings={"model": "gpt-4.1"})
    people = judges.people_judge(project=project)
    assert [families.of_judge(judge=one) for one in (reward, llm, people)] == ["llama", "gpt", ""]
