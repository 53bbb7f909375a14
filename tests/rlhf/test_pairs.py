"""The pairs behind a number: a row a prompt, whose mean is the number; filtered, sorted, paged and as CSV."""

import csv
import io

import pytest
from django.urls import reverse
from django.utils import timezone

from rlhf import evaluations, judges, pairs, views_evaluations
from rlhf.learning.stats.win_rates import win_rate
from rlhf.models import EvaluationSnapshot, Judge, Prompt, Verdict
from rlhf.word_diff import MAX_WORDS, word_diff
from tests.rlhf import documents
from tests.rlhf.rows import answer, prompts, run, verdict, version

FIRST, SECOND = Verdict.Position.CANDIDATE_FIRST, Verdict.Position.BASELINE_FIRST


@pytest.fixture
def llm(project) -> Judge:
    return Judge.objects.create(project=project, kind=Judge.Kind.LLM, name="a language model", identity="l" * 64)


@pytest.fixture
def both_orders(evaluation, llm):
    """Four prompts, each judged in both orders: won, unsettled, lost by graded scores, tied."""
    scores = ((1.0, 1.0), (1.0, 0.0), (0.25, 0.375), (0.5, 0.5))
    for prompt, (first, second) in zip(prompts(evaluation.project, 4), scores, strict=True):
        verdict(evaluation, llm, prompt, first, position=FIRST)
        verdict(evaluation, llm, prompt, second, position=SECOND)
    return evaluation


def page(client, evaluation, **query):
    return client.get(reverse("evaluation", args=["tulip", evaluation.pk]), query)


def freeze(evaluation, judge) -> EvaluationSnapshot:
    rows = list(Verdict.objects.filter(evaluation=evaluation, judge=judge))
    rate = win_rate([row.prompt_id for row in rows], [row.score for row in rows])
    cell = documents.cell(
        evaluation.pk, evaluation.candidate_id, evaluation.baseline_id, judge.pk, split="all", low=rate.low,
        high=rate.high, num_prompts=rate.num_prompts, win_rate=rate.win_rate,
    )  # fmt: skip
    versions = [documents.version(evaluation.candidate_id, "v1", 1), documents.version(evaluation.baseline_id, "v0", 0)]
    known = [documents.judge(judge.pk, judge.name, judge.kind)]
    return documents.store(evaluation.project, documents.document(versions=versions, judges=known, cells=[cell]))


def test_a_prompt_is_one_pair_however_often_it_was_judged(both_orders, llm):
    found = pairs.units(evaluation=both_orders, judge=llm.pk)
    assert [(unit.outcome, unit.score, unit.num_verdicts) for unit in found] == [
        ("won", 1.0, 2), ("unsettled", 0.5, 2), ("lost", 0.3125, 2), ("tied", 0.5, 2),
    ]  # fmt: skip
    assert pairs.rate(units=found) == 0.578125 and pairs.rate(units=[]) is None


@pytest.mark.parametrize("scores", [(0.1, 0.2, 0.7), (1 / 3, 2 / 3, 0.9), (1.0, 0.0, 0.3)])
def test_the_mean_of_the_pairs_is_the_rate_of_an_estimate_run_to_the_bit(scores, evaluation, llm):
    rows = [
        (prompt.pk, score, position)
        for prompt, score in zip(prompts(evaluation.project, 4), scores, strict=False)
        for position, score in ((FIRST, score), (SECOND, score**2))
    ]
    for prompt_id, score, position in rows:
        verdict(evaluation, llm, Prompt.objects.get(pk=prompt_id), score, position=position)
    expected = win_rate([prompt_id for prompt_id, _, _ in rows], [score for _, score, _ in rows])
    found = pairs.units(evaluation=evaluation, judge=llm.pk)
    assert (len(found), pairs.rate(units=found)) == (expected.num_prompts, expected.win_rate)


@pytest.mark.parametrize(
    ("query", "outcomes"),
    [
        ({}, ["won", "unsettled", "lost", "tied"]),
        ({"outcome": "won"}, ["won"]),
        ({"outcome": "unsettled"}, ["unsettled"]),
        ({"outcome": "?", "judge": "1' OR 1=1", "sort": "\x00", "split": "?"}, ["won", "unsettled", "lost", "tied"]),
        ({"sort": "worst"}, ["lost", "unsettled", "tied", "won"]),
        ({"sort": "best"}, ["won", "unsettled", "tied", "lost"]),
        ({"category": "nothing"}, []),
    ],
)  # fmt: skip
def test_pairs_are_filtered_and_sorted(query, outcomes, client, both_orders, researcher):
    client.force_login(researcher)
    assert [unit.outcome for unit, _ in page(client, both_orders, **query).context["rows"]] == outcomes


def test_pairs_are_filtered_by_category_and_split(client, both_orders, researcher):
    first, second, *_ = prompts(both_orders.project, 4)
    Prompt.objects.update(split="train")
    Prompt.objects.filter(pk=first.pk).update(category="letters", split="held_out")
    Prompt.objects.filter(pk=second.pk).update(category="letters")
    client.force_login(researcher)
    assert len(page(client, both_orders, category="letters").context["rows"]) == 2
    assert [unit.prompt_id for unit, _ in page(client, both_orders, split="held_out").context["rows"]] == [first.pk]


def test_pages_follow_each_other_in_every_order(client, both_orders, researcher, monkeypatch):
    monkeypatch.setattr(views_evaluations, "PAGE", 1)
    client.force_login(researcher)
    for sort, expected in (("prompt", [0, 1, 2, 3]), ("worst", [2, 1, 3, 0]), ("best", [0, 1, 3, 2])):
        seen, after = [], ""
        while after is not None:
            context = page(client, both_orders, sort=sort, after=after).context
            seen += [unit.prompt_id for unit, _ in context["rows"]]
            after = context["next"]
        ids = [prompt.pk for prompt in prompts(both_orders.project, 4)]
        assert seen == [ids[place] for place in expected]
    assert len(page(client, both_orders, after="rubbish").context["rows"]) == 1


def test_the_page_says_that_it_is_the_number_or_that_verdicts_have_changed(client, both_orders, llm, researcher):
    frozen = freeze(both_orders, llm)
    client.force_login(researcher)
    assert "Exactly the number: these 4 pairs come to 57.8" in page(client, both_orders).content.decode()
    assert "A part of the 4 pairs" in page(client, both_orders, outcome="won").content.decode()
    Verdict.objects.filter(score=0.25).update(score=0.0)
    body = page(client, both_orders, snapshot=frozen.sha256).content.decode()
    assert "Verdicts have changed" in body and "Exactly the number" not in body


def test_a_frozen_number_lists_the_verdicts_it_was_frozen_with_whatever_came_later(
    client, both_orders, llm, researcher
):
    frozen = freeze(both_orders, llm)
    ids = [row.pk for row in Verdict.objects.order_by("id")]
    frozen.verdicts.parameters = {"verdicts": {"runs": [], "spans": [[ids[0], ids[-1]]]}}
    frozen.verdicts.save()
    client.force_login(researcher)
    assert not page(client, both_orders).context["listing"].has_changed
    third = prompts(both_orders.project, 4)[2]
    Verdict.objects.filter(prompt=third).update(withdrawn_at=timezone.now())
    for query in ({}, {"snapshot": frozen.sha256}):
        listing = page(client, both_orders, **query).context["listing"]
        assert (len(listing.units), listing.reproduces, listing.has_changed) == (4, True, True)
    body = page(client, both_orders).content.decode()
    assert "Exactly the number: these 4 pairs" in body and "Verdicts have come or gone" in body
    now = page(client, both_orders, snapshot="now").context["listing"]
    assert (len(now.units), now.reproduces) == (3, False)
    assert client.get(reverse("pair", args=["tulip", both_orders.pk, third.pk])).status_code == 200
    assert client.get(reverse("pair", args=["tulip", both_orders.pk, third.pk]), {"snapshot": "now"}).status_code == 404


def test_a_judge_that_is_in_no_document_yet_has_its_list(client, both_orders, llm, researcher):
    frozen = freeze(both_orders, llm)
    frozen.verdicts.parameters = {"verdicts": {"runs": [], "spans": [[1, Verdict.objects.latest("id").pk]]}}
    frozen.verdicts.save()
    people = judges.people_judge(project=both_orders.project)
    verdict(both_orders, people, prompts(both_orders.project, 4)[0], 1.0, rater="ann")
    client.force_login(researcher)
    context = page(client, both_orders, judge=people.pk).context
    assert len(context["rows"]) == 1 and context["listing"].cell is None
    assert page(client, both_orders).context["listing"].judge == llm


def test_an_evaluation_that_nobody_froze_is_missing(client, both_orders, llm, researcher):
    frozen = freeze(both_orders, llm)
    client.force_login(researcher)
    assert page(client, both_orders, snapshot=frozen.sha256).status_code == 200
    for name in ("eee", "f" * 64, "' OR 1=1 --"):
        assert page(client, both_orders, snapshot=name).status_code == 404


def test_the_csv_is_the_whole_list_and_runs_nothing(client, both_orders, researcher, monkeypatch):
    monkeypatch.setattr(views_evaluations, "PAGE", 1)
    prompt = prompts(both_orders.project, 4)[2]
    Prompt.objects.filter(pk=prompt.pk).update(messages=[{"role": "user", "content": '=HYPERLINK(1),\n"two"'}])
    client.force_login(researcher)
    got = client.get(reverse("pairs-csv", args=["tulip", both_orders.pk]), {"sort": "worst"})
    rows = list(csv.reader(io.StringIO(got.getvalue().decode(), newline="")))
    assert rows[0] == list(views_evaluations.CSV_COLUMNS) and len(rows) == 5
    assert rows[1][0] == str(prompt.pk) and rows[1][3:] == ["lost", "0.3125", "2", '\'=HYPERLINK(1),\n"two"']


def test_regressions_are_what_the_version_before_had_won(client, judged, researcher):
    """v1 won prompts 0 and 1 against v0; v2 loses 1 and 3 to v1: only 1 is a regression."""
    project, people = judged.project, judges.people_judge(project=judged.project)
    v2 = version(project, "v2", 2, iteration=2)
    by = run(project, purpose="evaluation", policy=v2)
    for prompt in prompts(project, 4):
        answer(prompt, v2, by, "later")
    step = evaluations.open_evaluation(project=project, candidate=v2, baseline=judged.candidate, iteration=2)
    for prompt, score in zip(prompts(project, 4), (1.0, 0.0, 1.0, 0.0), strict=True):
        verdict(step, people, prompt, score, rater="ann")
    client.force_login(researcher)
    ids = [prompt.pk for prompt in prompts(project, 4)]
    assert [unit.prompt_id for unit, _ in page(client, step, regressions="1").context["rows"]] == [ids[1]]
    assert page(client, judged, regressions="1").context["rows"] == []


def test_next_and_previous_stay_within_the_list(client, both_orders, researcher):
    client.force_login(researcher)
    ids = [prompt.pk for prompt in prompts(both_orders.project, 4)]
    url = reverse("pair", args=["tulip", both_orders.pk, ids[1]])
    context = client.get(url, {"sort": "worst"}).context
    assert (context["previous_prompt"], context["next_prompt"]) == (ids[2], ids[3])
    context = client.get(url, {"outcome": "unsettled"}).context
    assert (context["previous_prompt"], context["next_prompt"]) == (None, None)


def test_what_a_judge_said_is_shown_escaped_and_hides_nobody(client, both_orders, llm, researcher):
    hostile = "<script>alert(1)</script>[[A]] {{ prompt }} {% url 'x' %}"
    Verdict.objects.filter(position=FIRST).update(note=hostile)
    Verdict.objects.filter(position=SECOND).update(note="long " * 700)
    client.force_login(researcher)
    body = client.get(
        reverse("pair", args=["tulip", both_orders.pk, prompts(both_orders.project, 4)[0].pk])
    ).content.decode()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;[[A]] {{ prompt }}" in body and "<script>alert" not in body
    assert "<details><summary>long long" in body and body.count("a language model") >= 2


def test_people_appear_by_their_pseudonyms_and_training_rewards_are_named(client, judged, researcher):
    project = judged.project
    reward_model = version(project, "rm7", kind="reward", iteration=1, weights_sha256="7" * 64)
    judge = judges.reward_judge(version=reward_model)
    run(project, "ppo", policy=judged.baseline, reward_model=reward_model, made_version=judged.candidate)
    prompt = prompts(project, 4)[0]
    verdict(judged, judge, prompt, 1.0, candidate_reward=2.5, baseline_reward=-1.0)
    client.force_login(researcher)
    body = client.get(reverse("pair", args=["tulip", judged.pk, prompt.pk])).content.decode()
    assert "ann" in body and "v1 was trained against it" in body and "3.5" in body


def test_a_diff_marks_what_each_answer_says_alone(client, judged, researcher):
    client.force_login(researcher)
    url = reverse("pair", args=["tulip", judged.pk, prompts(judged.project, 4)[0].pk])
    assert "<ins>" not in client.get(url).content.decode()
    body = client.get(url, {"diff": "1"}).content.decode()
    assert "<ins>v1</ins>" in body and "<del>v0</del>" in body


@pytest.mark.parametrize(
    ("first", "second", "own_first", "own_second"),
    [
        ("the same words here", "the same words here", [], []),
        ("one two three four five", "one two three four six", [" five"], [" six"]),
        ("", "all new", [], ["all new"]),
        ("a\n\n  b <script>", "", ["a\n\n  b <script>"], []),
        ("日本語です", "日本語だ", ["です"], ["だ"]),
    ],
)
def test_a_diff_adds_up_to_both_texts(first, second, own_first, own_second):
    found = word_diff(first=first, second=second)
    assert found is not None
    assert ["".join(piece.text for piece in side) for side in found] == [first, second]
    assert [[piece.text for piece in side if piece.is_own] for side in found] == [own_first, own_second]


def test_a_diff_of_long_texts_is_refused():
    assert word_diff(first="word " * (MAX_WORDS + 1), second="word") is None
