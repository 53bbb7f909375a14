"""The first sentence says only what is settled; charts and tables are made of the same rows."""

import pytest

from rlhf import charts, evaluations
from rlhf.headline import headline
from rlhf.judges import gold_judge, people_judge, reward_judge
from rlhf.models import Estimate, Evaluation, ModelVersion
from tests.rlhf.rows import estimate, run, version


@pytest.fixture
def judges(project):
    reward = version(project, "rm1", kind=ModelVersion.Kind.REWARD, weights_sha256="1" * 64)
    return {
        "people": people_judge(project=project),
        "gold": gold_judge(project=project, name="gold"),
        "reward": reward_judge(version=reward),
    }


def said(evaluation: Evaluation, *rows: Estimate):
    return headline(evaluation=evaluation, estimates=rows)


@pytest.mark.parametrize(
    ("low", "high", "text", "tone"),
    [
        (0.55, 0.75, "v1 is better than v0.", "better"),
        (0.20, 0.45, "v1 is worse than v0.", "worse"),
        (0.45, 0.65, "v1 and v0 can't be told apart.", "open"),
        (0.50, 0.70, "v1 and v0 can't be told apart.", "open"),
    ],
)
def test_the_interval_decides_what_may_be_said(low, high, text, tone, evaluation, judges):
    row = estimate(
        evaluation, judges["people"], run(evaluation.project, "estimate"), (low + high) / 2, low=low, high=high
    )
    answer = said(evaluation, row)
    assert (answer.text, answer.tone, answer.estimate) == (text, tone, row)


def test_the_training_reward_alone_settles_nothing(evaluation, judges):
    row = estimate(evaluation, judges["reward"], run(evaluation.project, "estimate"), 0.99, low=0.98, high=1.0)
    answer = said(evaluation, row)
    assert answer.tone == "open" and "not settled" in answer.text and "reward model rm1" in answer.detail
    assert said(evaluation).tone == "open" and "nobody" in said(evaluation).detail
    assert headline(evaluation=None, estimates=()).tone == "open"


def test_people_speak_before_gold_and_few_prompts_are_said(evaluation, judges):
    by = run(evaluation.project, "estimate")
    people = estimate(evaluation, judges["people"], by, 0.5, low=0.4, high=0.6, num_prompts=12)
    gold = estimate(evaluation, judges["gold"], by, 0.9, low=0.8, high=0.95, snapshot=people.snapshot)
    answer = said(evaluation, people, gold)
    assert answer.estimate == people and "at least 30 prompts" in answer.detail


def test_a_reward_that_runs_ahead_is_named(evaluation, judges):
    by = run(evaluation.project, "estimate")
    people = estimate(evaluation, judges["people"], by, 0.5, low=0.4, high=0.6)
    reward = estimate(evaluation, judges["reward"], by, 0.8, low=0.75, high=0.85, snapshot=people.snapshot)
    assert "runs ahead" in said(evaluation, people, reward).detail


def test_a_reward_that_is_not_confirmed_is_named(evaluation, judges):
    by = run(evaluation.project, "estimate")
    people = estimate(evaluation, judges["people"], by, 0.57, low=0.48, high=0.67)
    reward = estimate(evaluation, judges["reward"], by, 0.64, low=0.60, high=0.69, snapshot=people.snapshot)
    assert "not confirmed" in said(evaluation, people, reward).detail


def test_training_prompts_settle_nothing(evaluation, judges):
    row = estimate(evaluation, judges["people"], run(evaluation.project, "estimate"), 0.9, low=0.8, split="train")
    assert said(evaluation, row).tone == "open"


def test_the_timeline_compares_with_the_version_before_and_the_first(project, evaluation, judges):
    v1 = evaluation.candidate
    v2 = version(project, "v2", 2, iteration=2)
    later = [
        evaluations.open_evaluation(project=project, candidate=v2, baseline=baseline, iteration=2)
        for baseline in (v1, evaluation.baseline)
    ]
    by = run(project, "estimate")
    rows = {
        row.pk: [estimate(row, judges["people"], by, rate, snapshot=estimate_snapshot)]
        for estimate_snapshot in [estimate(evaluation, judges["gold"], run(project, "estimate"), 0.5).snapshot]
        for row, rate in zip([evaluation, *later], (0.6, 0.7, 0.8), strict=True)
    }
    points = charts.timeline(project=project, evaluations=[evaluation, *later], estimates=rows)
    shown = [(point.against, point.version, point.baseline, point.win_rate) for point in points]
    assert shown == [
        (charts.PREVIOUS, "v1", "v0", 0.6),
        (charts.PREVIOUS, "v2", "v1", 0.7),
        (charts.FIRST, "v1", "v0", 0.6),
        (charts.FIRST, "v2", "v0", 0.8),
    ]


def test_the_matrix_is_antisymmetric(project, evaluation, judges):
    row = estimate(evaluation, judges["people"], run(project, "estimate"), 0.7)
    versions = [evaluation.baseline, evaluation.candidate]
    table = charts.matrix(
        project=project,
        versions=versions,
        evaluations=[evaluation],
        estimates={evaluation.pk: [row]},
        judge_kind="people",
    )
    (zero, lost), (won, _) = (list(line.cells) for line in table)
    assert zero.win_rate is None and won.win_rate == 0.7
    assert lost.win_rate == pytest.approx(0.3)
    assert (lost.low, lost.high) == pytest.approx((1 - won.high, 1 - won.low))
    assert (won.shade, lost.shade) == (5, 3)


def test_the_newest_judge_of_a_kind_is_shown(project, evaluation, judges):
    second = reward_judge(version=version(project, "rm2", kind="reward", weights_sha256="2" * 64))
    by = run(project, "estimate")
    first = estimate(evaluation, judges["reward"], by, 0.6)
    rows = [first, estimate(evaluation, second, by, 0.7, snapshot=first.snapshot)]
    assert [row.judge for row in charts.newest_by_kind(estimates=rows)] == [second]


def test_curves_are_the_numbers_that_were_logged():
    points = [{"step": 1, "time": 1.0, "phase": "x", "zeta": 1, "kl": 0.5, "done": True}, {"step": 2, "loss": 0.1}]
    assert charts.curve_names(points=points) == ["loss", "kl", "zeta"]
