"""Verdicts and estimates count only when the run behind them succeeded at that attempt."""

import pytest

from rlhf import evaluations, judges
from rlhf.evaluations import NewVerdict
from rlhf.learning import tables
from rlhf.models import Completion, Run, Verdict
from tests.rlhf.rows import estimate, prompts, run, verdict, version


@pytest.fixture
def people(project):
    return judges.people_judge(project=project)


def test_an_evaluation_is_opened_once(project, evaluation):
    again = evaluations.open_evaluation(
        project=project, candidate=evaluation.candidate, baseline=evaluation.baseline, iteration=9
    )
    assert (again.pk, again.iteration) == (evaluation.pk, 1)


def test_a_changed_reward_model_is_another_judge(project):
    first = version(project, "rm1", kind="reward", weights_sha256="1" * 64)
    judge = judges.reward_judge(version=first)
    assert judges.reward_judge(version=first) == judge
    second = version(project, "rm2", kind="reward", weights_sha256="2" * 64)
    assert judges.reward_judge(version=second) != judge
    project.prompt_format = "plain"
    first.project = project
    assert judges.reward_judge(version=first) != judge


def test_gold_judges_of_different_names_differ(project):
    gold = judges.gold_judge(project=project, name="gold 1")
    assert gold == judges.gold_judge(project=project, name="gold 1")
    assert gold != judges.gold_judge(project=project, name="gold 2")


def test_recording_twice_stores_once(evaluation, people):
    prompt = prompts(evaluation.project, 4)[0]
    candidate, baseline = Completion.objects.filter(prompt=prompt).order_by("-version_id")
    new = [NewVerdict(prompt.pk, candidate.pk, baseline.pk, 1.0, rater="ann")]
    for _ in range(2):
        evaluations.record_verdicts(evaluation=evaluation, judge=people, verdicts=new)
    assert Verdict.objects.get().score == 1.0


def test_verdicts_of_a_run_count_only_for_the_attempt_that_succeeded(evaluation, people):
    first, second, third, _ = prompts(evaluation.project, 4)
    judging = run(evaluation.project, "judge", state=Run.State.RUNNING, attempt=2)
    verdict(evaluation, people, first, 1.0, rater="ann")
    verdict(evaluation, people, second, 0.0, run=judging, attempt=2)
    verdict(evaluation, people, third, 0.0, run=judging, attempt=1)
    assert [row.prompt for row in evaluations.visible_verdicts()] == [first]
    Run.objects.filter(pk=judging.pk).update(state=Run.State.SUCCEEDED)
    assert [row.prompt for row in evaluations.visible_verdicts()] == [first, second]
    rows = list(evaluations.verdict_rows(project=evaluation.project))
    assert [row["prompt_id"] for row in rows] == [first.pk, second.pk]
    assert set(rows[0]) == set(tables.VERDICTS.names)
    assert (rows[0]["candidate_id"], rows[0]["baseline_id"]) == (evaluation.candidate_id, evaluation.baseline_id)
    text = Completion.objects.get(prompt=first, version=evaluation.candidate).text
    assert rows[0]["candidate_characters"] == len(text) > 0
    assert list(evaluations.verdict_rows(project=evaluation.project, evaluations=[])) == []


def test_answers_are_sample_zero_of_succeeded_evaluation_runs(evaluation):
    texts = {answer.text for answer in evaluations.answers(version=evaluation.candidate).values()}
    assert texts == {f"v1 answers {prompt.pk}" for prompt in prompts(evaluation.project, 4)}
    some = prompts(evaluation.project, 4)[:1]
    assert set(evaluations.answers(version=evaluation.candidate, prompts=some)) == {some[0].pk}
    Run.objects.filter(policy=evaluation.candidate).update(state=Run.State.FAILED)
    assert evaluations.answers(version=evaluation.candidate) == {}


def test_the_newest_succeeded_estimate_run_speaks(evaluation, people):
    old, new, broken = (run(evaluation.project, "estimate") for _ in range(3))
    Run.objects.filter(pk=broken.pk).update(state=Run.State.FAILED)
    for by, rate in ((old, 0.5), (new, 0.6), (broken, 0.9)):
        estimate(evaluation, people, by, rate)
    assert [row.win_rate for row in evaluations.latest_estimates(evaluation=evaluation)] == [0.6]
