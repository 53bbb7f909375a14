"""Verdicts made elsewhere: AlpacaEval's own numbers come out again, and nothing lands by halves or twice."""

import json
import statistics

import pytest
from django.core.management import CommandError, call_command
from rest_framework.test import APIClient

from rlhf import completions, evaluations
from rlhf.learning.stats.win_rates import Verdict as Unit
from rlhf.learning.stats.win_rates import WinRate, win_rates
from rlhf.models import Evaluation, Judge, ModelVersion, Prompt, Run, Verdict
from tests.rlhf.alpaca import FILES, lines, published, rows

URL = "/api/v1/projects/tulip/verdicts/import"
FIELDS = ("evaluation_id", "judge_id", "prompt_id", "split", "score", "rater", "position", "replicate")


@pytest.fixture
def api(manager) -> APIClient:
    client = APIClient()
    client.force_authenticate(manager)
    return client


def row(number: int = 1, **changes: object) -> dict[str, object]:
    return {
        "prompt": f"Question {number}?", "candidate": "rival", "candidate_answer": f"Yes, {number}.",
        "baseline": "older", "baseline_answer": "No.", "judge": "GPT", "score": 1.0, **changes,
    }  # fmt: skip


def send(api: APIClient, rows: object, **options: str):
    query = "?" + "&".join(f"{name}={value}" for name, value in options.items())
    return api.post(URL + query, json.dumps(rows), content_type="application/json")


def estimates(project) -> dict[tuple[int, int, str], WinRate]:
    """By the way of the estimate run, over the rows that a freeze takes."""
    rows = evaluations.verdict_rows(project=project)
    return win_rates(Unit(**{name: found[name] for name in FIELDS}) for found in rows)


def measured(project, candidate: str) -> dict[str, float]:
    evaluation = Evaluation.objects.get(candidate__name=candidate)
    (found,) = [rate for key, rate in estimates(project).items() if key[0] == evaluation.pk and key[2] == "all"]
    texts = completions.visible().filter(version=evaluation.candidate).values_list("text", flat=True)
    return {
        "win_rate": 100 * found.win_rate,
        "standard_error": 100 * found.standard_error,
        "n_wins": found.wins,
        "n_wins_base": found.losses,
        "n_draws": found.ties,
        "avg_length": statistics.fmean(map(len, texts)),
    }


def test_the_published_numbers_of_alpaca_eval_come_out_of_the_api(api, project):
    for file in FILES:
        answer = api.post(f"{URL}?judge=AlpacaEval", lines(file), content_type="application/jsonl")
        assert (answer.status_code, answer.json()["num_verdicts"]) == (201, 30)
    for file in FILES:
        found = rows(file)
        assert measured(project, found[0]["candidate"]) == pytest.approx(published(found), abs=1e-9)
    assert Prompt.objects.count() == 30 and Judge.objects.get().kind == "imported"
    assert set(Prompt.objects.values_list("category", flat=True)) == {
        "selfinstruct", "oasst", "koala", "helpful_base", "vicuna",
    }  # fmt: skip


def test_the_command_imports_the_same_and_says_so(project, capsys):
    for _ in range(2):
        call_command("import_verdicts", "tulip", *map(str, FILES), judge="AlpacaEval")
    told = capsys.readouterr().out.splitlines()
    assert [": imported, 30 verdicts" in line for line in told] == [True, True, False, False]
    assert "was imported before" in told[2] and Verdict.objects.count() == 60
    with pytest.raises(CommandError, match="expected the slug"):
        call_command("import_verdicts", "nowhere", str(FILES[0]))
    with pytest.raises(CommandError, match="judge: expected a name"):
        call_command("import_verdicts", "tulip", str(FILES[0]))


def test_a_row_becomes_prompt_versions_judge_evaluation_and_verdict(api, project):
    judge = {"name": "GPT", "template": "pairs"}
    extra = {"rater": "r1", "position": "baseline_first", "replicate": 2, "note": "Because.", "category": "maths"}
    answer = send(api, [row(judge=judge, score=0.25, **extra)], split="held_out").json()
    found = Verdict.objects.select_related("judge", "run").get()
    assert (found.score, found.rater, found.position, found.replicate) == (0.25, "r1", "baseline_first", 2)
    assert (found.note, found.prompt.category, found.prompt.split) == ("Because.", "maths", "held_out")
    assert found.judge.settings == {"kind": "imported", "name": "GPT", "declared": {"template": "pairs"}}
    assert (found.run.kind, found.run.pk, answer["judges"]) == ("import", answer["run"], [found.judge.pk])
    for side, text in (("candidate", "Yes, 1."), ("baseline", "No.")):
        player = getattr(found.evaluation, side)
        assert player.kind == "answers"
        assert evaluations.answers(version=player)[found.prompt_id].text == text


def test_another_setting_is_another_judge(api):
    for judge in ("GPT", {"name": "GPT"}, {"name": "GPT", "temperature": 1}):
        assert send(api, [row(judge=judge)]).status_code == 201
    assert Judge.objects.count() == 2


def test_the_same_rows_again_are_the_same_import_however_the_file_spells_them(api):
    first = send(api, [row(1), row(2, score=0)]).json()
    again = api.post(
        URL, "".join(json.dumps(one, indent=None) + "\n\n" for one in (row(1), row(2, score=0.0))),
        content_type="application/x-ndjson",
    ).json()  # fmt: skip
    assert again == {**first, "is_new": False}
    assert Verdict.objects.count() == 2 and Run.objects.filter(plan_key__startswith="import/verdicts").count() == 1


def test_a_verdict_that_is_there_is_left_alone_and_a_contradiction_refused(api):
    send(api, [row(1)])
    answer = send(api, [row(1), row(2)]).json()
    assert (answer["num_verdicts"], answer["num_duplicates"], Verdict.objects.count()) == (1, 1, 2)
    refused = send(api, [row(3), row(1, score=0.0)])
    assert refused.status_code == 400
    assert [bad["row"] for bad in refused.json()["bad_rows"]] == [2] and "replicate" in refused.json()["detail"]
    assert evaluations.visible_verdicts().count() == 2
    assert send(api, [row(3), row(1, score=0.0, replicate=1)]).json()["num_verdicts"] == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"score": None}, "found none"),
        ({"score": 1.5}, "0 to 1"),
        ({"score": "1"}, "0 to 1"),
        ({"score": True}, "0 to 1"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": "a\0b"}, "NUL"),
        ({"candidate": "older"}, "differs"),
        ({"candidate": "x" * 61}, "1 to 60"),
        ({"candidate_answer": "x" * 100_001}, "100,000"),
        ({"candidate_answer": "a\0"}, "NUL"),
        ({"candidate_answer": "\ud800"}, "surrogate"),
        ({"judge": ""}, "judge"),
        ({"judge": {"name": "x", "template": "t" * 5_000}}, "4,000"),
        ({"position": "first"}, "position"),
        ({"replicate": -1}, "replicate"),
        ({"rater": "x" * 41}, "rater"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_one_bad_row_is_named_and_nothing_lands(api, changes, message):
    refused = send(api, [row(1), row(2, **changes), 7])
    assert refused.status_code == 400
    bad = refused.json()["bad_rows"]
    assert [one["row"] for one in bad] == [2, 3] and message in bad[0]["message"]
    assert not (Verdict.objects.exists() or Prompt.objects.exists() or ModelVersion.objects.exists())


@pytest.mark.parametrize("body", ["", "[]", "{", "3", "\n\n", "[1", "é".encode("latin-1")])
def test_a_body_without_rows_is_refused(api, body):
    answer = api.post(URL, body, content_type="application/jsonl")
    assert answer.status_code == 400 and "expected" in answer.json()["detail"]


def test_missing_scores_are_left_out_where_that_is_asked_for(api):
    answer = send(api, [row(1), row(2, score=None)], skip_missing="true").json()
    assert (answer["num_verdicts"], answer["num_skipped"]) == (1, 1)
    assert send(api, [row(2, score=None)], skip_missing="true").status_code == 400
    assert send(api, [row(1)], skip_missing="maybe").status_code == 400
    assert send(api, [row(1)], split="test").status_code == 400


def test_answers_that_contradict_each_other_or_those_there_are_refused(api):
    inside = send(api, [row(1), row(1, candidate_answer="Else.", replicate=1)])
    assert inside.status_code == 400 and "an earlier row has another answer of rival" in inside.json()["detail"]
    send(api, [row(1)])
    later = send(api, [row(1, candidate_answer="Else.")])
    assert later.status_code == 400 and "rival has given another answer" in later.json()["detail"]
    assert Verdict.objects.count() == 1


def test_verdicts_on_our_own_versions_need_the_answers_that_they_gave(api, evaluation):
    prompt = evaluation.project.prompts.first()
    given = {
        name: evaluations.answers(version=getattr(evaluation, name))[prompt.pk] for name in ("candidate", "baseline")
    }
    ours = {
        "prompt": prompt.messages, "candidate": "v1", "baseline": "v0",
        "candidate_answer": given["candidate"].text, "baseline_answer": given["baseline"].text,
    }  # fmt: skip
    assert send(api, [row(**ours)]).status_code == 201
    found = Verdict.objects.get()
    assert (found.evaluation, found.candidate_completion) == (evaluation, given["candidate"])
    refused = send(api, [row(**ours, replicate=1), row(**{**ours, "prompt": "Never asked"})])
    assert "v0 is a version of this project and has not answered" in refused.json()["detail"]
    assert send(api, [row(candidate="v7")]).status_code == 400  # a name that the loop will give


def test_an_import_that_was_cut_shows_nothing_and_is_taken_over(api, project, monkeypatch):
    def cut(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(evaluations.Verdict.objects, "bulk_create", cut)
        with pytest.raises(KeyboardInterrupt):
            send(api, [row(1)])
    failed = Run.objects.get(plan_key__startswith="import/verdicts")
    assert (failed.state, evaluations.visible_verdicts().count()) == ("failed", 0)
    assert send(api, [row(1)]).json()["run"] == failed.pk
    failed.refresh_from_db()
    assert (failed.state, failed.attempt, evaluations.visible_verdicts().count()) == ("succeeded", 2, 1)


def test_the_ladder(api, project, researcher, labeler, stranger):
    for user, status in ((None, 401), (researcher, 403), (labeler, 403), (stranger, 404)):
        api.force_authenticate(user)
        assert send(api, [row()]).status_code == status
    assert not Verdict.objects.exists()


def test_too_many_bytes_versions_or_judges_are_refused(api):
    assert send(api, [row(n, candidate=f"m{n}") for n in range(100)]).status_code == 400
    assert send(api, [row(n, judge=f"j{n}") for n in range(101)]).status_code == 400
    answer = api.post(URL, b"[" + b" " * (20 * 1024 * 1024), content_type="application/json")
    assert answer.status_code == 400 and "20 MB" in answer.json()["detail"]
