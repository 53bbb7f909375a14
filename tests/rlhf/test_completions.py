"""Outputs of an attempt: there for everybody once it has succeeded, swept when it can't any more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from rlhf import completions, evaluations, judges, leftovers, runs
from rlhf.completions import NewCompletion
from rlhf.models import Completion, Evaluation, Project, Prompt, Run, Verdict
from rlhf.runs import BATCH, Claim
from tests.rlhf.rows import answer, prompts, run, version

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def asked(project: Project) -> list[Prompt]:
    return prompts(project, 3)


@pytest.fixture
def sample(project: Project, asked: list[Prompt]) -> Run:
    model = version(project, "v0", 0)
    return runs.ask(
        project=project, kind="sample", plan_key="s", policy=model, now=NOW,
        selection={"prompt_ids": [prompt.pk for prompt in asked]},
    )  # fmt: skip


def claim() -> Claim:
    found = runs.claim(resource="gpu", worker="w", now=NOW)
    assert found is not None
    return found


def store(run: Run, token: Claim, asked: list[Prompt], num_samples: int = 2) -> int:
    new = (NewCompletion(p.pk, i, f"{p.pk}/{i}", 3, True) for p in asked for i in range(num_samples))
    return completions.store(project=run.project, version=run.policy, claim=token, rows=new)


def test_rows_are_visible_from_the_moment_of_success(sample: Run, asked: list[Prompt]) -> None:
    token = claim()
    assert store(sample, token, asked) == 6
    assert completions.visible().count() == 0

    runs.succeed(claim=token, now=NOW, result={})

    assert completions.visible().count() == 6
    grouped = completions.by_prompt(run=sample)
    assert [[row.sample_index for row in rows] for rows in grouped.values()] == [[0, 1]] * 3


def test_storing_twice_stores_once_however_many_batches(sample: Run, asked: list[Prompt]) -> None:
    token = claim()
    for _ in range(2):
        store(sample, token, asked, num_samples=BATCH // 2)
    assert Completion.objects.count() == 3 * (BATCH // 2)


def test_rows_of_a_lost_attempt_never_show_and_are_swept(sample: Run, asked: list[Prompt]) -> None:
    lost = claim()
    store(sample, lost, asked)
    runs.requeue_stale(now=NOW + timedelta(seconds=60), stale_s=20)
    winner = claim()
    store(sample, winner, asked)
    assert leftovers.sweep() == 6
    store(sample, lost, asked[:1])  # it was not dead, only slow
    runs.succeed(claim=winner, now=NOW, result={})

    assert set(completions.visible().values_list("attempt", flat=True)) == {2}
    assert leftovers.sweep() == 2
    assert Completion.objects.count() == completions.visible().count() == 6


@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_rows_of_a_run_that_ended_badly_are_swept(sample: Run, asked: list[Prompt], end: str) -> None:
    token = claim()
    store(sample, token, asked)
    assert leftovers.sweep() == 0  # it may yet succeed
    if end == "failed":
        runs.fail(claim=token, now=NOW, error="x")
    else:
        runs.request_cancel(run=sample, now=NOW)
        runs.cancelled(claim=token, now=NOW)

    assert leftovers.sweep() == 6
    assert not Completion.objects.exists()


def test_verdicts_of_a_failed_judge_go_and_those_of_people_stay(evaluation: Evaluation) -> None:
    failed = run(evaluation.project, kind="judge", state="failed")
    pairs = [
        evaluations.NewVerdict(row.prompt_id, row.pk, baseline.pk, 1.0)
        for row, baseline in zip(
            evaluations.answers(version=evaluation.candidate).values(),
            evaluations.answers(version=evaluation.baseline).values(),
            strict=True,
        )
    ]
    rm = judges.reward_judge(version=evaluation.candidate)
    people = judges.people_judge(project=evaluation.project)
    evaluations.record_verdicts(evaluation=evaluation, judge=rm, verdicts=pairs, run=failed, attempt=1)
    evaluations.record_verdicts(evaluation=evaluation, judge=people, verdicts=pairs)

    assert leftovers.sweep() == len(pairs)
    assert set(Verdict.objects.values_list("judge__kind", flat=True)) == {"people"}


def test_equal_texts_are_shown_once_and_a_prompt_needs_two(project: Project, asked: list[Prompt]) -> None:
    by, model = run(project), version(project, "v0", 0)
    for prompt, texts in zip(asked, (["a", "b", "a"], ["a", "a"], ["x", "y"]), strict=True):
        for index, text in enumerate(texts):
            answer(prompt, model, by, text, sample_index=index)

    grouped = completions.by_prompt(run=by)
    assert [row.sample_index for row in completions.distinct(completions=grouped[asked[0].pk])] == [0, 1]
    assert completions.num_worth_ranking(run=by) == 2


def test_a_nul_character_that_tokens_spell_is_replaced(sample: Run, asked: list[Prompt]) -> None:
    token = claim()
    spelled = NewCompletion(asked[0].pk, 0, "a\0b", 3, True)
    completions.store(project=sample.project, version=sample.policy, claim=token, rows=[spelled])
    assert Completion.objects.get().text == "a\ufffdb"
