"""Trying a version: a run for each one asked, answers when they succeed, and nothing of it in the loop's prompts."""

import pytest
from django.urls import reverse

from rlhf import prompts as prompt_decisions
from rlhf import tries
from rlhf.models import Prompt, Run
from tests.rlhf.rows import answer, version


@pytest.fixture
def versions(project):
    return [version(project, "v0", 0), version(project, "v1", 1)]


def ask(project, author, versions, now, text="Who are you?") -> str:
    return tries.ask(project=project, author=author, text=text, versions=versions, now=now)


def test_each_version_asked_gets_one_run_of_one_sample(project, researcher, versions, now):
    project.loop = {"sample": {"sampling": {"num_samples": 4, "temperature": 0.7}}}
    key = ask(project, researcher, [*versions, versions[0]], now)
    asked = [one.run for one in tries.answers(project=project, key=key)]
    assert [run.policy for run in asked] == versions
    assert asked[0].configuration["sampling"] == {"num_samples": 1, "temperature": 0.7}
    assert {(run.kind, run.purpose, run.state) for run in asked} == {("sample", "try", "queued")}


def test_an_answer_is_shown_only_when_its_run_has_succeeded(project, researcher, versions, now):
    key = ask(project, researcher, versions, now)
    first = tries.answers(project=project, key=key)[0]
    Run.objects.filter(pk=first.run.pk).update(state=Run.State.RUNNING, attempt=1)
    first.run.refresh_from_db()
    answer(first.prompt, versions[0], first.run, "Me.")
    assert [one.completion for one in tries.answers(project=project, key=key)] == [None, None]
    Run.objects.filter(pk=first.run.pk).update(state=Run.State.SUCCEEDED)
    assert tries.answers(project=project, key=key)[0].completion.text == "Me."


def test_a_tried_prompt_is_not_annotated_until_it_is_imported(project, researcher, versions, now):
    ask(project, researcher, versions[:1], now)
    assert not prompt_decisions.annotated(project=project).exists()
    new = [prompt_decisions.new_prompt(value="Who are you?")]
    assert prompt_decisions.add(project=project, prompts=new, source="import").num_added == 1
    assert prompt_decisions.annotated(project=project).count() == Prompt.objects.count() == 1
    ask(project, researcher, versions[:1], now)
    assert prompt_decisions.annotated(project=project).count() == 1


def test_waiting_tries_are_bounded(project, researcher, versions, now):
    for index in range(10):
        ask(project, researcher, versions, now, f"Question {index}?")
    with pytest.raises(tries.TooManyTries, match="found 20"):
        ask(project, researcher, versions, now)


def test_the_page_asks_and_waits(client, project, researcher, versions):
    client.force_login(researcher)
    url = reverse("try", args=["tulip"])
    body = {"prompt": "Hello <b>you</b>", "version": versions[1].pk, "beside": versions[0].pk}
    answered = client.post(url, body, follow=True)
    page = answered.content.decode()
    assert page.count("Waiting for a worker") == 2 and "<b>you</b>" not in page
    live = answered.redirect_chain[0][0] + "live"
    assert client.get(live).status_code == 200
    Run.objects.update(state=Run.State.CANCELLED)
    assert client.get(live).status_code == 286
    assert client.get(reverse("try-live", args=["tulip", "nonsense"])).status_code == 404


def test_versions_of_another_project_and_reward_models_are_no_choice(
    client, project, other_project, researcher, versions
):
    client.force_login(researcher)
    for other in (version(other_project, "v0", 0), version(project, "rm1", kind="reward")):
        answered = client.post(reverse("try", args=["tulip"]), {"prompt": "Hello", "version": other.pk})
        assert answered.status_code == 200 and not Run.objects.exists()
