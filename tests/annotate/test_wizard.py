"""From the first visit to a project: the admin account, and a wizard that makes all of a project or nothing."""

import io
import json
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from annotate.models import Protocol
from rlhf import loop_settings
from rlhf.models import Membership, Project, Prompt


@pytest.fixture
def model(tmp_path) -> Path:
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"")
    return folder


@pytest.fixture
def boss(db) -> User:
    return User.objects.create_superuser("boss", password="x")


def form(model: Path, num_prompts: int = 100, **changes: object) -> dict[str, object]:
    file = io.BytesIO("\n".join(json.dumps({"prompt": f"Question {i}?"}) for i in range(num_prompts)).encode())
    file.name = "prompts.jsonl"
    return {
        "name": "Tulip Two", "base_model": str(model), "prompts": file, "start": "rankings", "num_completions": 3,
        "allow_ties": "on", "size": "cpu", "policy_training": "ppo", **changes,
    }  # fmt: skip


def test_the_first_visit_makes_the_admin_and_then_the_page_is_closed(client, db):
    assert client.get("/")["Location"] == "/setup/"
    body = {"username": "ada", "password1": "correct horse staple", "password2": "correct horse staple"}
    weak = client.post("/setup/", {**body, "password1": "123", "password2": "123"})
    assert weak.status_code == 200 and not User.objects.exists()
    assert client.post("/setup/", body)["Location"] == "/"
    assert User.objects.get().is_superuser
    assert "No project yet" in client.get("/").content.decode()
    client.logout()
    assert client.get("/setup/")["Location"] == "/"
    client.post("/setup/", {**body, "username": "eve"})
    assert User.objects.count() == 1
    assert client.get("/")["Location"] == "/login"


def test_the_wizard_makes_the_whole_project(client, boss, model):
    lena = User.objects.create_user("lena")
    client.force_login(boss)
    answer = client.post(reverse("new-project"), form(model, people="lena\n", guidelines="Be **kind**."))
    assert answer["Location"] == "/p/tulip-two/"
    project = Project.objects.get()
    assert (project.state, project.base_model, project.prompt_format) == ("active", str(model), "plain")
    assert project.prompts.count() == 100 and project.loop["num_demonstrations"] == 0
    assert project.loop["num_held_out_ranking_prompts"] <= project.prompts.filter(split="held_out").count()
    assert dict(Membership.objects.values_list("user", "role")) == {boss.pk: "manager", lena.pk: "labeler"}
    rank = Protocol.objects.get(kind="rank")
    assert (rank.num_completions, rank.allow_ties, rank.guidelines) == (3, True, "Be **kind**.")
    assert client.get("/p/tulip-two/").status_code == 200


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"base_model": "/no/such/model"}, "found no directory at /no/such/model"),
        ({"base_model": "a b c"}, "expected a name such as org/model"),
        ({"people": "lena\nnobody"}, "found nobody named lena, nobody"),
        ({"num_completions": 1}, "greater than or equal to 2"),
        ({"name": "!!!"}, "expected at least one letter or digit"),
        ({"num_prompts": 1}, "expected enough for both sides"),
        ({"num_prompts": 0}, "found no rows"),
    ],
)
def test_wrong_input_is_one_sentence_and_makes_nothing(changes, found, client, boss, model):
    client.force_login(boss)
    answer = client.post(reverse("new-project"), form(model, **changes))
    assert answer.status_code == 200 and found in answer.content.decode()
    assert not (Project.objects.exists() or Prompt.objects.exists() or Membership.objects.exists())


def test_a_directory_without_a_model_is_named(client, boss, tmp_path):
    client.force_login(boss)
    assert "with a config.json" in client.post(reverse("new-project"), form(tmp_path)).content.decode()


def test_a_name_is_taken_once(client, boss, model):
    client.force_login(boss)
    client.post(reverse("new-project"), form(model))
    assert "found a project at /p/tulip-two/" in client.post(reverse("new-project"), form(model)).content.decode()


def test_the_wizard_is_for_staff(client, db, model):
    assert client.get(reverse("new-project")).status_code == 302
    client.force_login(User.objects.create_user("lena"))
    assert client.get(reverse("new-project")).status_code == 403
    assert client.post(reverse("new-project"), form(model)).status_code == 403


def test_texts_are_cut_to_the_positions_that_the_model_has(client, boss, model):
    (model / "config.json").write_text('{"max_position_embeddings": 300}')
    client.force_login(boss)

    client.post("/projects/new/", form(model))

    loop = Project.objects.get().loop
    for stage in ("sft", "reward", "sample", "best_of_n", "ppo"):
        assert loop[stage]["text"] == {"max_prompt_tokens": 200, "max_completion_tokens": 100}


@pytest.mark.parametrize("size", ["cpu", "gpu"])
@pytest.mark.parametrize("way", loop_settings.POLICY_TRAININGS)
def test_the_wizard_asks_how_a_round_is_trained(way, size, client, boss, model):
    client.force_login(boss)
    assert client.post(reverse("new-project"), form(model, policy_training=way, size=size)).status_code == 302
    assert loop_settings.parse(Project.objects.get().loop).policy_training == way


def test_a_way_to_train_that_is_none_makes_nothing(client, boss, model):
    client.force_login(boss)
    page = client.post(reverse("new-project"), form(model, policy_training="magic")).content.decode()
    assert "magic" in page and not Project.objects.exists()
