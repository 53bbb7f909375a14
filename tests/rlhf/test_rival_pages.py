"""Rivals on the versions page: for managers, with what was wrong said where it was typed."""

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from rlhf import versions
from rlhf.models import Completion, Evaluation, ModelVersion, Prompt
from tests.rlhf.rows import version

ADDRESSES = ("add-endpoint", "add-answers", "compare-versions")
ENDPOINT = {
    "endpoint-name": "large", "endpoint-base_url": "https://models.example/v1", "endpoint-model": "large-4",
    "endpoint-evaluate": "on",
}  # fmt: skip


@pytest.fixture
def current(project, now) -> ModelVersion:
    found = version(project, "v0", 0)
    versions.promote_first(version=found, now=now)
    return found


def post(client, name: str, body: dict[str, object]):
    return client.post(reverse(name, args=["tulip"]), body, follow=True)


def file_of(rows: list[object]) -> SimpleUploadedFile:
    return SimpleUploadedFile("answers.jsonl", "\n".join(map(json.dumps, rows)).encode())


def test_a_manager_registers_an_endpoint_and_it_meets_the_current_version(client, manager, current):
    client.force_login(manager)
    answer = post(client, "add-endpoint", {**ENDPOINT, "endpoint-api_key_env": "LARGE_API_KEY"})
    rival = ModelVersion.objects.get(kind="endpoint")
    assert answer.redirect_chain[-1][0] == reverse("version", args=["tulip", rival.pk])
    assert rival.endpoint["api_key_env"] == "LARGE_API_KEY"
    assert Evaluation.objects.get().baseline == current
    assert "large-4" in client.get(reverse("versions", args=["tulip"])).content.decode()
    page = answer.content.decode()
    assert "https://models.example/v1" in page and "LARGE_API_KEY" in page
    talk = reverse("try", args=["tulip"]) + f"?version={rival.pk}"
    assert talk in page and f'value="{rival.pk}" selected' in client.get(talk).content.decode()


def test_what_was_wrong_with_an_endpoint_is_said_and_what_was_typed_stays(client, manager, project):
    client.force_login(manager)
    for changes, message in (
        ({"endpoint-name": "v7"}, "the loop"),
        ({"endpoint-base_url": "https://me:pass@host/v1"}, "no user, password"),
        ({"endpoint-api_key_env": "sk-123"}, "_API_KEY"),
        ({"endpoint-name": ""}, "required"),
    ):
        page = post(client, "add-endpoint", {**ENDPOINT, **changes}).content.decode()
        assert message in page and 'value="large-4"' in page
    assert not ModelVersion.objects.exists()


def test_a_manager_uploads_answers(client, manager, current):
    client.force_login(manager)
    rows = [{"prompt": "One?", "answer": "1"}, {"prompt": "Two?", "answer": "2"}]
    body = {"answers-name": "theirs", "answers-held_out": "on", "answers-evaluate": "on"}
    answer = post(client, "add-answers", {**body, "answers-file": file_of(rows)})
    assert "2 answers added" in answer.content.decode()
    assert set(Prompt.objects.values_list("split", flat=True)) == {"held_out"}
    assert Evaluation.objects.get().candidate.name == "theirs"


def test_bad_rows_of_a_file_are_named_and_escaped(client, manager, project):
    client.force_login(manager)
    rows = [{"prompt": "One?", "answer": "1"}, {"prompt": "<b>", "answer": 2}, {"<script>": 1}]
    page = post(client, "add-answers", {"answers-name": "theirs", "answers-file": file_of(rows)}).content.decode()
    assert "Row 2: answer" in page and "Row 3:" in page and "&lt;script&gt;" in page
    empty = {"answers-name": "theirs", "answers-file": SimpleUploadedFile("a.jsonl", b"")}
    assert "at least one row" in post(client, "add-answers", empty).content.decode()
    assert not Completion.objects.exists() and not Prompt.objects.exists()


def test_a_manager_asks_for_a_comparison(client, manager, project, current):
    other = version(project, "theirs", kind="answers")
    client.force_login(manager)
    for candidate, message in ((current, "expected two versions"), (other, "every judge is asked")):
        body = {"comparison-candidate": candidate.pk, "comparison-baseline": current.pk}
        assert message in post(client, "compare-versions", body).content.decode()
    assert (Evaluation.objects.get().candidate, Evaluation.objects.get().baseline) == (other, current)


def test_researchers_see_the_versions_and_no_form_and_others_nothing(client, researcher, labeler, stranger, current):
    client.force_login(researcher)
    page = client.get(reverse("versions", args=["tulip"])).content.decode()
    assert "v0" in page and "Bring a rival" not in page
    for user, status in ((researcher, 403), (labeler, 403), (stranger, 404)):
        client.force_login(user)
        for name in ADDRESSES:
            assert client.post(reverse(name, args=["tulip"]), ENDPOINT).status_code == status
    assert ModelVersion.objects.count() == 1
