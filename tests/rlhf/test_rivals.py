"""Rivals: endpoints without secrets in them, files of answers, and names that the loop will never want."""

import json

import pytest
from rest_framework.test import APIClient

from rlhf import evaluations, run_kinds, runs
from rlhf.models import Completion, ModelVersion, Prompt
from rlhf.prompts import split_of
from tests.rlhf.rows import prompts, version

VERSIONS = "/api/v1/projects/tulip/versions"
SERVER = {"base_url": "https://models.example/v1", "model": "large-4", "api_key_env": "LARGE_API_KEY"}


@pytest.fixture
def api(manager) -> APIClient:
    client = APIClient()
    client.force_authenticate(manager)
    return client


def register(api: APIClient, **changes: object):
    return api.post(VERSIONS, {"name": "large", "endpoint": SERVER, **changes}, format="json")


def upload(api: APIClient, rows: object, name: str = "theirs", split: str = ""):
    body = json.dumps(rows)
    return api.post(f"{VERSIONS}/answers?name={name}&split={split}", body, content_type="application/json")


def test_an_endpoint_is_registered_once(api):
    first = register(api)
    assert first.status_code == 201
    assert first.json()["endpoint"] == {**SERVER, "interface": "chat"}
    assert register(api).json()["id"] == first.json()["id"]
    changed = register(api, endpoint={**SERVER, "model": "large-5"})
    assert changed.status_code == 409 and "name of its own" in changed.json()["detail"]
    assert ModelVersion.objects.get().kind == "endpoint"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": ""}, "name"),
        ({"name": "v3"}, "the loop"),
        ({"name": "RM1"}, "the loop"),
        ({"name": "a\nb"}, "printable"),
        ({"name": "x" * 61}, "1 to 60"),
        ({"name": 3}, "name"),
        ({"kind": "ppo"}, "kind"),
        ({"endpoint": None}, "an object"),
        ({"endpoint": {"model": "m"}}, "base_url"),
        ({"endpoint": {"base_url": "https://x/v1"}}, "model"),
        ({"endpoint": {**SERVER, "base_url": "file:///etc/passwd"}}, "http"),
        ({"endpoint": {**SERVER, "base_url": "https://"}}, "base_url"),
        ({"endpoint": {**SERVER, "base_url": "https://me:secret@host/v1"}}, "no user, password"),
        ({"endpoint": {**SERVER, "base_url": "https://host/v1?key=secret"}}, "no user, password"),
        ({"endpoint": {**SERVER, "base_url": "https://host:99999/v1"}}, "base_url"),
        ({"endpoint": {**SERVER, "api_key_env": "SECRET_KEY"}}, "_API_KEY"),
        ({"endpoint": {**SERVER, "api_key": "sk-1"}}, "api_key"),
        ({"endpoint": {**SERVER, "interface": "completions"}}, "interface"),
        ({"endpoint": {**SERVER, "timeout_s": "long"}}, "timeout_s"),
        ({"endpoint": {**SERVER, "memory_share": 0.5}}, "memory_share"),
    ],
)
def test_what_can_not_be_asked_is_refused_and_says_why(api, changes, message):
    answer = register(api, **changes)
    assert answer.status_code == 400 and message in answer.json()["detail"] and "sk-1" not in answer.json()["detail"]
    assert not ModelVersion.objects.exists()


def test_a_version_of_ours_is_no_rival(api, project):
    version(project, "sft-12")
    assert register(api, name="sft-12").status_code == 409
    assert upload(api, [{"prompt": "Hi", "answer": "Ho"}], name="sft-12").status_code == 409
    assert register(api, name="theirs", kind="answers").status_code == 201
    assert register(api, name="theirs").status_code == 409


def test_answers_meet_the_prompts_that_are_there_and_bring_the_others(api, project):
    there = prompts(project, 2)
    rows = [
        {"prompt": there[0].messages, "answer": "One."},
        {"messages": there[1].messages, "answer": ""},
        {"prompt": "Something new?", "answer": "Two.", "category": "news"},
    ]
    answer = upload(api, rows).json()
    assert (answer["num_added"], answer["num_prompts_added"]) == (3, 1)
    found = evaluations.answers(version=ModelVersion.objects.get(pk=answer["version"]))
    new = Prompt.objects.get(category="news")
    assert {pk: completion.text for pk, completion in found.items()} == {
        there[0].pk: "One.", there[1].pk: "", new.pk: "Two.",
    }  # fmt: skip
    assert new.split == split_of(project=project, messages=new.messages)


def test_prompts_of_a_benchmark_can_be_held_out_and_the_others_keep_their_side(api, project):
    there = prompts(project, 20)
    rows = [{"prompt": f"New question {n}?", "answer": "Yes."} for n in range(20)]
    upload(api, [*rows, *({"prompt": one.messages, "answer": "No."} for one in there)], split="held_out")
    assert set(Prompt.objects.exclude(source="test").values_list("split", flat=True)) == {"held_out"}
    assert {one.split for one in there} == set(Prompt.objects.filter(source="test").values_list("split", flat=True))
    assert upload(api, rows, split="mine").status_code == 400


def test_the_same_file_twice_imports_once_and_a_longer_one_adds_the_rest(api):
    rows = [{"prompt": "A?", "answer": "a"}, {"prompt": "B?", "answer": "b"}]
    upload(api, rows)
    again = upload(api, [*rows, rows[0]]).json()
    assert (again["num_added"], again["num_duplicates"]) == (0, 3)
    longer = upload(api, [*rows, {"prompt": "C?", "answer": "c"}]).json()
    assert (longer["num_added"], longer["num_duplicates"], Completion.objects.count()) == (1, 2, 3)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (3, "JSON object"),
        ({"prompt": "A?"}, "answer"),
        ({"answer": "a"}, "either prompt or messages"),
        ({"prompt": "A?", "messages": [], "answer": "a"}, "either prompt or messages"),
        ({"prompt": " ", "answer": "a"}, "prompt"),
        ({"prompt": "A?", "answer": "x" * 100_001}, "100,000"),
        ({"prompt": "A?", "answer": "a\0"}, "NUL"),
        ({"prompt": "A?", "answer": 3}, "a text"),
        ({"prompt": "A?", "answer": "a", "score": 1}, "score"),
        ({"prompt": "Good?", "answer": "other"}, "another answer"),
    ],
)
def test_one_bad_row_is_named_and_nothing_lands(api, bad, message):
    answer = upload(api, [{"prompt": "Good?", "answer": "yes"}, bad])
    assert answer.status_code == 400
    assert answer.json()["bad_rows"][0]["row"] == 2 and message in answer.json()["bad_rows"][0]["message"]
    assert not Prompt.objects.exists() and not Completion.objects.exists()


def test_another_answer_than_the_one_there_is_refused(api):
    upload(api, [{"prompt": "A?", "answer": "a"}])
    answer = upload(api, [{"prompt": "B?", "answer": "b"}, {"prompt": "A?", "answer": "else"}])
    assert answer.status_code == 400 and answer.json()["bad_rows"][0]["row"] == 2
    assert Completion.objects.count() == 1


def test_the_ladder(api, researcher, labeler, stranger):
    for user, status in ((None, 401), (researcher, 403), (labeler, 403), (stranger, 404)):
        api.force_authenticate(user)
        assert register(api).status_code == status
        assert upload(api, [{"prompt": "A?", "answer": "a"}]).status_code == status
    assert not ModelVersion.objects.exists()


@pytest.mark.parametrize(("kind", "wanted"), [("answers", "sample"), ("answers", "sft"), ("endpoint", "dpo")])
def test_no_run_is_asked_for_weights_that_are_not_here(project, now, kind, wanted):
    rival = version(project, "theirs", kind=kind)
    with pytest.raises(run_kinds.BadRun, match="theirs is no model"):
        runs.ask(project=project, kind=wanted, plan_key="x", policy=rival, now=now)
