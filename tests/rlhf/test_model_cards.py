"""A model card says what a version was made of, how good it is and what is wrong with it, as a page and as Markdown."""

import re

import pytest
from django.urls import reverse
from django.utils.html import escape

from rlhf import judges, model_cards
from rlhf.models import Judge, ModelVersion, RunAlarm
from tests.browser import cards
from tests.rlhf.rows import estimate, run, snapshot, version


@pytest.fixture
def made(evaluation):
    """v1, trained from v0 against rm1, with an alarm; rm1 has a shortcut; only rm1 has judged v1."""
    project, v0, v1 = evaluation.project, evaluation.baseline, evaluation.candidate
    base = version(project, "base", kind=ModelVersion.Kind.BASE, source="org/small-1")
    rm1 = version(project, "rm1", kind="reward", iteration=1, weights_sha256="9" * 64)
    cards.build(rm1)
    demonstrations = snapshot(project, "demonstrations", num_rows=77, sha256="1" * 64)
    rankings = snapshot(project, "rankings", num_rows=321, sha256="2" * 64)
    asked = snapshot(project, "prompts", num_rows=40, sha256="3" * 64)
    run(project, "sft", policy=base, snapshot=demonstrations, made_version=v0)
    run(project, "reward", sft=v0, policy=v0, snapshot=rankings, made_version=rm1)
    ppo = run(project, "ppo", policy=v0, sft=v0, reward_model=rm1, snapshot=asked, made_version=v1)
    RunAlarm.objects.create(
        run=ppo, attempt=1, step=9, name="length drifts", message="length drifts: <b>found</b> 1.7 |"
    )
    ModelVersion.objects.filter(pk=v0.pk).update(parent=base)
    ModelVersion.objects.filter(pk=v1.pk).update(parent=v0, metrics={"score": 1.25, "kl": 3}, weights_sha256="7" * 64)
    estimate(evaluation, judges.reward_judge(version=rm1), run(project, "estimate"), 0.8, unsettled=3)
    return ModelVersion.objects.get(pk=v1.pk)


def test_the_card_has_chain_data_rates_and_limits(made):
    card = model_cards.card(version=made)
    assert [one.name for one in card.chain] == ["base", "v0", "v1"]
    assert [(one.snapshot.configuration, one.snapshot.num_rows) for one in card.data] == [
        ("demonstrations", 77), ("prompts", 40), ("rankings", 321),
    ]  # fmt: skip
    assert [(row.evaluation.baseline.name, row.cell.win_rate, row.is_training_reward) for row in card.comparisons] == [
        ("v0", 0.8, True)
    ]
    assert card.limits[0] == "No person has judged it." and "trained against" in card.limits[1]
    assert any("step 9: length drifts" in limit for limit in card.limits)
    assert any(limit.startswith("Shortcut of rm1: it prefers length") for limit in card.limits)


def test_people_s_judgment_is_no_limit(made, evaluation):
    people = judges.people_judge(project=made.project)
    estimate(evaluation, people, run(made.project, "estimate"), 0.6)
    assert not any("person" in limit or "Only reward" in limit for limit in model_cards.card(version=made).limits)


def test_the_markdown_is_what_the_hub_reads_and_nothing_in_it_acts(client, made, researcher):
    Judge.objects.update(name="<script>alert(1)</script> | a **judge**\n# big")
    client.force_login(researcher)
    answer = client.get(reverse("model-card", args=["tulip", made.pk]))
    text = answer.content.decode()
    assert answer["Content-Type"] == "text/markdown; charset=utf-8" and "attachment" in answer["Content-Disposition"]
    head, body = re.fullmatch(r"---\n(.*?)\n---\n(.*)", text, re.DOTALL).groups()
    for line in ("library_name: transformers", 'base_model: "org/small-1"', "- rlhf", "- ppo", "      value: 0.8"):
        assert line in head.splitlines()
    assert "| rankings | 321 | `" + "2" * 64 in body and "base → v0 → v1" in body and "| kl | 3 |" in body
    assert (
        "<script>" not in body and "\n# big" not in body and r"\<script\>alert(1)\</script\> \| a \*\*judge\*\*" in body
    )
    assert r"length drifts: \<b\>found\</b\> 1.7 \|" in body


def test_a_path_of_this_machine_stays_out_of_the_head(made):
    ModelVersion.objects.filter(name="base").update(source="/models/secret/place")
    card = model_cards.card(version=ModelVersion.objects.get(pk=made.pk))
    assert "/models" not in model_cards.markdown(card=card, project=made.project)


@pytest.mark.parametrize("kind", ModelVersion.Kind.values)
def test_every_kind_of_version_has_a_card(kind, client, project, researcher):
    row = version(project, f"a-{kind}", kind=kind)
    client.force_login(researcher)
    body = client.get(reverse("version", args=["tulip", row.pk])).content.decode()
    assert escape(model_cards.card(version=row).what) in body
    assert client.get(reverse("model-card", args=["tulip", row.pk])).status_code == 200
