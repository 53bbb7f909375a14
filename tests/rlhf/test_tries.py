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


def ask(project, author, versions, now, text="Who are you?", **options) -> str:
    return tries.ask(project=project, author=author, text=text, versions=versions, now=now, **options)


def answered(project, key: str, *texts: str) -> None:
    """Every run of a try succeeds with these texts; {} is the version's name."""
    for one in tries.answers(project=project, key=key):
        Run.objects.filter(pk=one.run.pk).update(state=Run.State.SUCCEEDED, attempt=1)
        one.run.refresh_from_db()
        for index, text in enumerate(texts):
            answer(one.prompt, one.run.policy, one.run, text.format(one.run.policy), sample_index=index)


def test_each_version_asked_gets_one_run_of_one_sample(project, researcher, versions, now):
    project.loop = {"sample": {"sampling": {"num_samples": 4, "temperature": 0.7}}}
    key = ask(project, researcher, [*versions, versions[0]], now)
    asked = [one.run for one in tries.answers(project=project, key=key)]
    assert [run.policy for run in asked] == versions
    assert asked[0].configuration["sampling"] == {"num_samples": 1, "temperature": 0.7}
    key = ask(project, researcher, versions[:1], now, temperature=0.0, num_samples=3)
    (other,) = [one.run for one in tries.answers(project=project, key=key)]
    assert other.configuration["sampling"] == {"num_samples": 3, "temperature": 0.0}
    assert other.configuration["engine"]["seed"] != asked[0].configuration["engine"]["seed"]
    assert {(run.kind, run.purpose, run.state) for run in asked} == {("sample", "try", "queued")}


def test_an_answer_is_shown_only_when_its_run_has_succeeded(project, researcher, versions, now):
    key = ask(project, researcher, versions, now)
    first = tries.answers(project=project, key=key)[0]
    Run.objects.filter(pk=first.run.pk).update(state=Run.State.RUNNING, attempt=1)
    first.run.refresh_from_db()
    answer(first.prompt, versions[0], first.run, "Me.")
    assert [one.completions for one in tries.answers(project=project, key=key)] == [(), ()]
    Run.objects.filter(pk=first.run.pk).update(state=Run.State.SUCCEEDED)
    assert tries.answers(project=project, key=key)[0].completions[0].text == "Me."


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


@pytest.mark.parametrize("changes", [{"temperature": 2.1}, {"temperature": -1}, {"num_samples": 9}, {"num_samples": 0}])
def test_what_is_out_of_bounds_is_refused_and_nothing_is_asked(project, researcher, versions, now, changes):
    with pytest.raises(tries.BadTry, match="expected"):
        ask(project, researcher, versions, now, **changes)
    assert not Run.objects.exists() and not Prompt.objects.exists()


def test_an_endpoint_can_be_asked_and_waits_for_the_network(project, researcher, now):
    server = {"base_url": "https://models.example/v1", "model": "large", "interface": "chat"}
    rival = version(project, "large", kind="endpoint", endpoint=server)
    version(project, "file", kind="answers")
    assert list(tries.versions(project=project)) == [rival]
    (one,) = tries.answers(project=project, key=ask(project, researcher, [rival], now))
    assert one.run.resource == Run.Resource.NETWORK


def test_two_versions_are_read_side_by_side_with_what_differs(client, project, researcher, versions, now):
    key = ask(project, researcher, versions, now, num_samples=2)
    answered(project, key, "I am the model called {} <script>", "Alike.")
    client.force_login(researcher)
    url = reverse("try-answer", args=["tulip", key])
    plain, differing = client.get(url).content.decode(), client.get(url, {"diff": "1"}).content.decode()
    assert plain.count("Answer 2") == 2 and "<del>" not in plain
    assert "<del> v0</del>" in differing and "<ins> v1</ins>" in differing
    assert "<script>" not in plain.split("<main")[1].split("</main>")[0]
    assert "&lt;script" in differing and client.get(reverse("try-live", args=["tulip", key])).status_code == 286


def test_a_persons_earlier_tries_are_listed_newest_first_and_those_of_others_are_not(
    client, project, researcher, manager, versions, now
):
    for index in range(12):  # below what may wait, twice
        answered(project, ask(project, researcher, versions, now, f"Question {index}?"), "Yes.")
    answered(project, ask(project, manager, versions, now, "Somebody else's?"), "No.")
    found = tries.earlier(project=project, author=researcher)
    assert [str(one.prompt) for one in found] == [f"Question {index}?" for index in reversed(range(12))]
    assert found[0].versions == ("v0", "v1")
    client.force_login(researcher)
    page = client.get(reverse("try", args=["tulip"])).content.decode()
    assert page.count("Question") == 12 and "Somebody" not in page
    again = client.get(reverse("try-answer", args=["tulip", found[0].key])).content.decode()
    assert ">\nQuestion 11?</textarea>" in again


def test_only_readers_try(client, project, labeler, stranger, manager, versions, now):
    key = ask(project, manager, versions, now)
    for user, status in ((labeler, 403), (stranger, 404)):
        client.force_login(user)
        for url in (
            reverse("try", args=["tulip"]), reverse("try-answer", args=["tulip", key]),
            reverse("try-live", args=["tulip", key]),
        ):  # fmt: skip
            assert client.get(url).status_code == status
