"""Evaluations that somebody asked for: what they lack is planned, once, whatever state the loop is in."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from annotate.models import Task
from rlhf import answer_imports, evaluations, judges, requests, runs, versions
from rlhf.models import Evaluation, ModelVersion, Project, Run, Verdict
from tests.rlhf.rows import answer, version
from tests.rlhf.rows import run as made_run
from tests.workers import hands
from tests.workers.hands import NOW
from workers import requested
from workers.dispatch import Dispatcher
from workers.execute import Worker

pytestmark = pytest.mark.django_db
SERVER = {"base_url": "https://models.example/v1", "model": "large"}


@pytest.fixture
def project() -> Project:
    made = hands.project(num_compare_tasks=3)
    Project.objects.update(state=Project.State.PAUSED)
    made.refresh_from_db()
    versions.promote_first(version=version(made, "v0", 0, source="tiny"), now=NOW)
    version(made, "rm1", kind="reward", iteration=1, source="rm1")
    return made


def rival(project: Project, name: str = "large", **body: Any) -> ModelVersion:
    return requests.register_rival(project=project, body={"name": name, "endpoint": SERVER, **body}, now=NOW)


def held_out(project: Project) -> set[int]:
    return set(project.prompts.filter(split="held_out").values_list("pk", flat=True))


def work(project: Project, worker: Worker) -> list[tuple[str, str]]:
    """Plan and end runs until nothing is queued; kind and resource of each in their order."""
    ended = []
    while True:
        requested.plan(project=project, now=NOW)
        claims = (runs.claim(resource=name, worker="hands", now=NOW) for name in Run.Resource.values)
        if (claim := next(filter(None, claims), None)) is None:
            return ended
        run = hands.finish(claim=claim, worker=worker)
        assert run.state == Run.State.SUCCEEDED, run.error
        ended.append((run.kind, run.resource))


def test_a_new_rival_and_the_current_version_answer_are_judged_and_compared_by_people(
    project: Project, cpu: Worker
) -> None:
    found = rival(project)
    assert work(project, cpu) == [("sample", "gpu"), ("sample", "network"), ("judge", "gpu")]
    evaluation = Evaluation.objects.get()
    assert (evaluation.candidate, evaluation.baseline.name, evaluation.iteration) == (found, "v0", 0)
    for player in (evaluation.candidate, evaluation.baseline):
        assert set(evaluations.answers(version=player)) == held_out(project)
    assert Verdict.objects.filter(judge__kind="reward_model").count() == len(held_out(project))
    assert Task.objects.filter(evaluation=evaluation, kind="compare", prompt__split="held_out").count() == 3
    project.refresh_from_db()
    assert versions.current(project=project) == evaluation.baseline and project.state == Project.State.PAUSED


def test_planning_again_asks_for_nothing_until_there_is_another_judge_or_prompt(project: Project, cpu: Worker) -> None:
    rival(project)
    work(project, cpu)
    before = Run.objects.count()
    assert work(project, cpu) == [] and Run.objects.count() == before
    version(project, "rm2", kind="reward", iteration=2, source="rm2")
    assert work(project, cpu) == [("judge", "gpu")]
    more = project.prompts.filter(split="train").first()
    player = ModelVersion.objects.get(name="v0")
    answer(more, player, made_run(project, purpose="evaluation", policy=player))
    assert work(project, cpu) == [("sample", "network"), ("judge", "gpu"), ("judge", "gpu")]
    assert Run.objects.order_by("id").last().selection == {"prompt_ids": [more.pk]}


def test_a_file_of_answers_is_compared_on_its_own_prompts(project: Project, cpu: Worker) -> None:
    rows = [{"prompt": f"Brought along, {n}?", "answer": f"Answer {n}."} for n in range(4)]
    numbered = list(enumerate(rows, 1))
    made = answer_imports.import_answers(project=project, name="file", rows=numbered, split="held_out", now=NOW)
    requests.against_current(version=made.version, now=NOW)
    assert work(project, cpu) == [("sample", "gpu"), ("judge", "gpu")]
    assert Verdict.objects.values("prompt").distinct().count() == 4
    assert set(Run.objects.get(kind="sample").selection["prompt_ids"]) == set(
        project.prompts.filter(source="answers import").values_list("pk", flat=True)
    )


def test_two_files_are_judged_where_both_have_answered(project: Project, cpu: Worker) -> None:
    players = []
    for name, numbers in (("one", range(3)), ("two", range(1, 5))):
        rows = enumerate(({"prompt": f"Q {n}?", "answer": f"{name} {n}"} for n in numbers), 1)
        made = answer_imports.import_answers(project=project, name=name, rows=rows, split="held_out", now=NOW)
        players.append(made.version)
    requests.request(candidate=players[0], baseline=players[1], now=NOW)
    assert work(project, cpu) == [("judge", "gpu")]
    assert sorted(Verdict.objects.values_list("prompt__messages__0__content", flat=True)) == ["Q 1?", "Q 2?"]


def test_what_nobody_asked_for_is_left_alone(project: Project, cpu: Worker) -> None:
    rival(project, evaluate=False)
    one, other = version(project, "v1", 1), ModelVersion.objects.get(name="v0")
    evaluations.open_evaluation(project=project, candidate=one, baseline=other, iteration=1)
    assert work(project, cpu) == [] and list(requested.projects()) == []


def test_verdicts_that_are_there_are_not_asked_for_again(project: Project, cpu: Worker) -> None:
    rival(project)
    work(project, cpu)
    evaluation = Evaluation.objects.get()
    judge = judges.reward_judge(version=ModelVersion.objects.get(name="rm1"))
    Verdict.objects.filter(judge=judge, pk__in=Verdict.objects.values("pk")[:2]).delete()
    assert work(project, cpu) == [("judge", "gpu")]
    assert len(Run.objects.order_by("id").last().selection["prompt_ids"]) == 2
    judged = Verdict.objects.filter(evaluation=evaluation, judge=judge).values_list("prompt", flat=True)
    assert sorted(judged) == sorted(held_out(project))


def test_language_models_and_verifiers_of_the_settings_are_asked_too(project: Project, cpu: Worker) -> None:
    settings = [
        {"name": "gpt", "kind": "llm", "server": {"base_url": "https://judge.example/v1", "model": "m"}},
        {"name": "right", "kind": "verifier", "verifier": "number"},
    ]
    Project.objects.update(loop={**project.loop, "judges": settings})
    project.refresh_from_db()
    target = project.prompts.filter(split="held_out").first()
    type(target).objects.filter(pk=target.pk).update(target="42")
    one, other = version(project, "one", kind="answers"), version(project, "two", kind="answers")
    for player in (one, other):
        by = made_run(project, purpose="evaluation", policy=player)
        for prompt in project.prompts.filter(split="held_out"):
            answer(prompt, player, by)
    requests.request(candidate=one, baseline=other, now=NOW)
    requested.plan(project=project, now=NOW)
    asked = Run.objects.filter(kind="judge").order_by("id")
    assert [(run.judge.kind, run.resource) for run in asked] == [
        ("reward_model", "gpu"), ("llm", "network"), ("verifier", "cpu"),
    ]  # fmt: skip
    assert [len(run.selection["prompt_ids"]) for run in asked] == [len(held_out(project))] * 2 + [1]


def test_the_dispatcher_looks_closely_only_where_something_has_changed(
    project: Project, cpu: Worker, django_assert_max_num_queries: Any
) -> None:
    rival(project)
    dispatcher = Dispatcher()
    dispatcher.plan_overviews(now=NOW)
    assert set(Run.objects.values_list("kind", "policy__name")) == {("sample", "large"), ("sample", "v0")}
    dispatcher.plan_overviews(now=NOW)
    before = Run.objects.count()
    with django_assert_max_num_queries(12):
        dispatcher.plan_overviews(now=NOW)
    assert Run.objects.count() == before
    for name in Run.Resource.values:
        while claim := runs.claim(resource=name, worker="hands", now=NOW):
            hands.finish(claim=claim, worker=cpu)
    dispatcher.plan_overviews(now=NOW)
    assert Run.objects.filter(kind="judge", state="queued").exists()
    more = project.prompts.filter(split="train").first()
    player = ModelVersion.objects.get(name="v0")
    by = Run.objects.filter(kind="sample", policy=player).get()
    answer(more, player, by)  # which nothing that is looked at tells
    num_runs = Run.objects.count()
    dispatcher.plan_overviews(now=NOW)
    dispatcher.plan_overviews(now=NOW + timedelta(minutes=2))
    assert Run.objects.filter(kind="sample", selection={"prompt_ids": [more.pk]}).count() == 1
    assert Run.objects.count() == num_runs + 1
