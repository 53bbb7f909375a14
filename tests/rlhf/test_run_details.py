"""The rest of a run's page: what it said at checkpoints, where it worked, what it is a step of, and every setting."""

import pytest
from django.urls import reverse

from rlhf import configurations, lineage
from rlhf.models import Run, RunSample
from tests.rlhf.rows import prompts, run, snapshot, version


@pytest.fixture
def chain(project):
    """Labels -> rm1 -> v1, which starts from v0; returns the reward run and the PPO run."""
    labels = snapshot(project, "rankings", num_rows=321, sha256="c" * 64)
    v0, rm1 = version(project, "v0", 0), version(project, "rm1", kind="reward", iteration=1)
    v1 = version(project, "v1", 1, parent=v0, iteration=1)
    reward = run(project, "reward", snapshot=labels, policy=v0, sft=v0, made_version=rm1)
    ppo = run(project, "ppo", policy=v0, sft=v0, reward_model=rm1, made_version=v1)
    project.evaluations.create(candidate=v1, baseline=v0, iteration=1)
    return reward, ppo


def shown(steps: list[lineage.Step]) -> list[tuple[str, list[str], bool]]:
    return [(step.label, [link.text for link in step.links], step.is_here) for step in steps]


def test_lineage_leads_from_labels_to_the_evaluation(chain):
    reward, ppo = chain
    before = [("Labels", ["321 rows"], False), ("Snapshot", ["c" * 12], False)]
    after = ("Evaluation", ["v1 against v0"], False)
    assert shown(lineage.steps(run=ppo)) == [
        *before, ("Reward model", ["rm1"], False), ("Policy", ["v0", "v1"], True), after,
    ]  # fmt: skip
    assert shown(lineage.steps(run=reward)) == [
        *before, ("Reward model", ["rm1"], True), ("Policy", ["v0", "v1"], False), after,
    ]  # fmt: skip


def test_every_setting_is_shown_and_what_differs_is_marked(project):
    row = run(
        project, "ppo", policy=version(project, "v0", 0), sft=version(project, "s"), reward_model=version(project, "r"),
        configuration={"kl_coefficient": 0.25, "num_epochs": 4, "engine": {"seed": 7}},
    )  # fmt: skip
    found = {setting.name: setting for setting in configurations.settings(run=row)}
    assert found["kl_coefficient"].differs and found["kl_coefficient"].value == 0.25
    assert found["engine.seed"].differs and found["engine.seed"].default == 0
    assert not found["optimizer.beta1"].differs and found["optimizer.beta1"].value == 0.9
    assert found["model"].value == "v0" and found["sft_model"].value == "s"
    names = [setting.name for setting in configurations.settings(run=row)]
    assert {"kl_coefficient", "engine.seed"} <= set(names[: sum(one.differs for one in found.values())])


def test_a_configuration_that_is_no_longer_valid_is_shown_as_it_is_stored(project):
    row = run(project, "ppo", configuration={"of_old": {"x": 1}})
    assert [(one.name, one.value) for one in configurations.settings(run=row)] == [("of_old.x", 1)]
    assert configurations.settings(run=run(project, "freeze")) == []


@pytest.mark.parametrize("kind", Run.Kind.values)
def test_a_run_of_every_kind_has_a_page(client, project, researcher, kind):
    client.force_login(researcher)
    row = run(project, kind, policy=version(project, "v0", 0))
    assert client.get(reverse("run", args=["tulip", row.pk])).status_code == 200


def test_the_page_shows_answers_machine_lineage_and_settings(client, chain, researcher):
    _, ppo = chain
    prompt = prompts(ppo.project, 1)[0]
    for step, text in ((50, "<script>alert(1)</script>"), (100, "later " * 600)):
        RunSample.objects.create(run=ppo, attempt=1, step=step, prompt=prompt, text=text, score=0.5)
    RunSample.objects.create(run=ppo, attempt=2, step=50, prompt=prompt, text="of an attempt that isn't the latest")
    Run.objects.filter(pk=ppo.pk).update(machine={"processor": "A processor", "num_threads": "4"}, log="the tail")
    client.force_login(researcher)
    body = client.get(reverse("run", args=["tulip", ppo.pk])).content.decode()
    assert "step 50, reward 0.5" in body and "&lt;script&gt;alert(1)" in body and "<script>alert" not in body
    assert "the latest" not in body and 333 <= body.count("later ") < 370  # 2,000 characters, and a beginning
    for text in ("A processor", "CPU threads", "321 rows", "v1 against v0", "optimizer.beta1", "the tail"):
        assert text in body
    assert 'aria-current="step"' in body


def test_answers_follow_a_run_until_its_end(client, chain, researcher):
    _, ppo = chain
    client.force_login(researcher)
    url = reverse("run-samples", args=["tulip", ppo.pk])
    assert client.get(url).status_code == 286
    Run.objects.filter(pk=ppo.pk).update(state=Run.State.RUNNING)
    first = client.get(url)
    assert first.status_code == 200
    assert client.get(url, headers={"If-None-Match": first["ETag"]}).status_code == 304
