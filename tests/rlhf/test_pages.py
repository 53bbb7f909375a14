"""Every page climbs the same ladder: its reader, signed out, the wrong role, another project's rows, missing rows."""

import io
import tarfile

import pytest
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.test import Client
from django.urls import reverse

from annotate import protocols
from annotate.models import Protocol, Task
from rlhf import judges
from rlhf.models import Completion, Membership, ProjectToken, Prompt
from tests.rlhf.addresses import address
from tests.rlhf.rows import member, prompts, snapshot, version

PAGES = (
    "project", "project-now", "project-judging", "runs", "runs-live", "run", "run-live", "run-samples", "versions",
    "version", "datasets", "prompts", "try", "evaluation", "pairs-csv", "pair", "label-progress", "report-card",
    "model-card", "rewards", "rewards-csv",
)  # fmt: skip
MANAGER_PAGES = ("people",)
MANAGER_POSTS = ("cancel-run", "retry-run", "switch-loop", "prompts", "people")


@pytest.mark.parametrize("name", PAGES)
def test_researchers_and_managers_read_every_page(name, client, judged, researcher, manager):
    for user in (researcher, manager):
        client.force_login(user)
        answer = client.get(address(name, judged.project))
        assert answer.status_code in (200, 286), answer.content


@pytest.mark.parametrize("name", [*PAGES, *MANAGER_PAGES])
def test_signed_out_is_sent_to_sign_in(name, client, judged):
    answer = client.get(url := address(name, judged.project))
    assert (answer.status_code, answer["Location"]) == (302, f"/login?next={url}")


@pytest.mark.parametrize("name", [*PAGES, *MANAGER_PAGES])
def test_labelers_are_refused_and_strangers_find_nothing(name, client, judged, labeler, stranger):
    for user, status in ((labeler, 403), (stranger, 404)):
        client.force_login(user)
        assert client.get(address(name, judged.project)).status_code == status


@pytest.mark.parametrize("name", MANAGER_POSTS)
def test_only_managers_change_things(name, client, judged, researcher, labeler, stranger):
    url = address(name, judged.project)
    assert client.post(url).status_code == 302  # to the sign-in page
    for user, status in ((researcher, 403), (labeler, 403), (stranger, 404)):
        client.force_login(user)
        assert client.post(url).status_code == status


@pytest.mark.parametrize(
    "name",
    [
        "run",
        "run-live",
        "run-samples",
        "version",
        "evaluation",
        "pairs-csv",
        "pair",
        "weights",
        "report-card",
        "model-card",
    ],
)
def test_rows_of_another_project_are_missing(name, client, judged, other_project, researcher):
    Membership.objects.create(project=other_project, user=researcher, role="manager", pseudonym="x")
    client.force_login(researcher)
    there = address(name, judged.project).replace("/p/tulip/", "/p/rose/")
    assert client.get(there).status_code == 404


def test_posting_needs_a_csrf_token(judged, manager):
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(manager)
    assert strict.post(address("cancel-run", judged.project)).status_code == 403


def test_a_number_leads_to_the_two_answers_in_two_clicks(client, judged, researcher):
    client.force_login(researcher)
    people = judges.people_judge(project=judged.project)
    dashboard = client.get(reverse("project", args=["tulip"])).content.decode()
    first = f"/p/tulip/evaluations/{judged.pk}/?judge={people.pk}&amp;split=held_out"
    assert first in dashboard
    listed = client.get(first.replace("&amp;split=held_out", "")).content.decode()
    second = f"/p/tulip/evaluations/{judged.pk}/pairs/{prompts(judged.project, 4)[0].pk}/?judge={people.pk}"
    assert second in listed
    pair = client.get(second).content.decode()
    assert "v1 answers" in pair and "v0 answers" in pair and "1.25" in pair


def test_hostile_text_in_a_completion_and_a_prompt_is_escaped(client, judged, researcher):
    hostile = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    Completion.objects.update(text=hostile)
    prompt = prompts(judged.project, 4)[0]
    Prompt.objects.filter(pk=prompt.pk).update(messages=[{"role": "user", "content": hostile}])
    client.force_login(researcher)
    for name in ("pair", "evaluation", "prompts"):
        body = client.get(address(name, judged.project)).content.decode()
        assert "<script>alert" not in body and "<img src=x" not in body and "&lt;script&gt;" in body


def test_the_import_lands_good_rows_and_names_bad_ones(client, project, manager, tmp_path):
    client.force_login(manager)
    path = tmp_path / "p.jsonl"
    path.write_text('{"prompt": "One?"}\nnonsense\n{"prompt": "Two?"}\n{"prompt": ""}\n')
    with path.open("rb") as file:
        page = client.post(reverse("prompts", args=["tulip"]), {"file": file}).content.decode()
    assert project.prompts.count() == 2
    assert "2 prompts added" in page and "line 2" in page and "line 4" in page
    path.write_text("")
    with path.open("rb") as file:
        page = client.post(reverse("prompts", args=["tulip"]), {"file": file}).content.decode()
    assert "found no rows" in page


def test_a_token_is_shown_once_and_is_of_this_project_and_scope(client, project, researcher):
    client.force_login(researcher)
    url = reverse("create-token", args=["tulip"])
    assert client.post(url, {"scope": "write"}).context["plain_token"] == ""
    answer = client.post(url, {"scope": "read", "name": "notebook"})
    plain = answer.context["plain_token"]
    assert plain in answer.content.decode() and answer["Cache-Control"] == "no-store"
    assert plain not in client.get(reverse("datasets", args=["tulip"])).content.decode()
    token = ProjectToken.objects.get()
    assert (token.project, token.scope, token.user) == (project, "read", researcher)
    member(project, "manager", "other")
    client.force_login(User.objects.get(username="other"))
    assert client.post(reverse("revoke-token", args=["tulip"]), {"digest": token.digest}).status_code == 404
    client.force_login(researcher)
    client.post(reverse("revoke-token", args=["tulip"]), {"digest": token.digest})
    assert not ProjectToken.objects.exists()


def test_home_follows_the_role(client, judged, labeler, researcher):
    client.force_login(labeler)
    body = client.get("/").content.decode()
    assert "/p/tulip/label/" in body and "/p/tulip/datasets/" not in body
    client.force_login(researcher)
    assert "/p/tulip/datasets/" in client.get("/").content.decode()


def test_a_manager_lets_people_in_and_out_but_never_the_last_manager(client, project, manager):
    User.objects.create_user("new")
    client.force_login(manager)
    url = reverse("people", args=["tulip"])
    assert "found nobody named nobody" in client.post(url, {"username": "nobody", "role": "labeler"}).content.decode()
    client.post(url, {"username": "new", "role": "labeler"})
    assert Membership.objects.get(user__username="new").role == "labeler"
    client.post(reverse("remove-person", args=["tulip", User.objects.get(username="new").pk]))
    assert not Membership.objects.filter(user__username="new").exists()
    client.post(reverse("remove-person", args=["tulip", manager.pk]))
    assert Membership.objects.filter(user=manager).exists()
    assert "expected another manager" in client.post(url, {"username": "mia", "role": "labeler"}).content.decode()


def test_the_weights_come_as_a_tar(client, project, researcher):
    default_storage.save("versions/t/model.safetensors", ContentFile(b"w" * 100_000))
    default_storage.save("versions/t/deep/config.json", ContentFile(b"{}"))
    model = version(project, "v0", 0, path="versions/t")
    client.force_login(researcher)
    answer = client.get(reverse("weights", args=["tulip", model.pk]))
    body = answer.getvalue()
    assert len(body) == int(answer["Content-Length"])
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        assert sorted(tar.getnames()) == ["tulip-v0/deep/config.json", "tulip-v0/model.safetensors"]
        assert tar.extractfile("tulip-v0/model.safetensors").read() == b"w" * 100_000
    by_name = version(project, "base", source="org/model")
    assert client.get(reverse("weights", args=["tulip", by_name.pk])).status_code == 410
    gone = version(project, "gone", path="versions/none")
    assert client.get(reverse("weights", args=["tulip", gone.pk])).status_code == 410


def test_a_dashboard_with_nothing_says_what_comes_next(client, project, researcher):
    client.force_login(researcher)
    body = client.get(reverse("project", args=["tulip"])).content.decode()
    assert "No two versions have been compared yet." in body and "No comparison yet" in body
    snapshot(project)
    assert "load_dataset" in client.get(reverse("datasets", args=["tulip"])).content.decode()


def test_a_refused_page_says_what_was_found_and_who_can_help(client, project, labeler):
    client.force_login(labeler)
    page = client.get(reverse("runs", args=["tulip"])).content.decode()
    assert "Expected the role" in page and "found labeler" in page
    assert "A manager of the project" in page


def test_a_page_outside_a_project_has_no_empty_bar_of_sections(client, project, researcher):
    client.force_login(researcher)
    assert 'class="sections"' not in client.get("/p/nobodys/").content.decode()
    assert 'class="sections"' in client.get(reverse("project", args=["tulip"])).content.decode()


def test_comparisons_are_told_apart_by_their_versions(client, evaluation, researcher):
    protocol = protocols.protocol(project=evaluation.project, kind=Protocol.Kind.COMPARE)
    for prompt in prompts(evaluation.project, 4):
        Task.objects.create(
            project=evaluation.project, protocol=protocol, kind=Protocol.Kind.COMPARE, prompt=prompt,
            evaluation=evaluation, batch="one",
        )  # fmt: skip
    client.force_login(researcher)
    page = client.get(reverse("label-progress", args=["tulip"])).content.decode()
    assert f": {evaluation.candidate} against {evaluation.baseline}" in page and "0 of 4" in page
