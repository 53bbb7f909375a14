from __future__ import annotations

from pathlib import Path

import pytest

from annotate import assignment as assignments
from annotate import batches, datasets, gold_files, imports, protocols, submissions
from annotate.models import Assignment, Ranking, Submission, Task
from rlhf.access import Access
from rlhf.learning import tables
from rlhf.learning.records import comparisons
from rlhf.models import Project
from rlhf.prompts import annotated
from tests.annotate import rows
from tests.annotate.rows import NOW


def answer(who: Access, *, text: str | None = None, best_first: list[str] | None = None) -> submissions.Stored:
    """Answer the next task; `best_first` lists texts, and every other completion shares the last rank."""
    held = assignments.next_task(access=who, now=NOW)
    assert held is not None
    ranks = None
    if best_first is not None:
        shown = Assignment.objects.get(pk=held.pk).order_shown
        text_of = dict(held.task.completions.values_list("pk", "text"))
        keys = dict(zip(submissions.KEYS, shown, strict=False))
        ranks = {key: best_first.index(text_of[pk]) + 1 for key, pk in keys.items()}
    reply = submissions.Answer(submission_id=rows.new_id(), text=text, ranks=ranks)
    return submissions.submit(access=who, assignment_id=held.pk, answer=reply, now=NOW)


def test_ranking_rows_carry_texts_in_task_order_ranks_weights_and_splits(project: Project, ada: Access) -> None:
    for iteration in (1, 2):
        rows.ranking_task(project=project, texts=["x", "y", "z"], iteration=iteration)
        answer(ada, best_first=["y", "z", "x"])

    first, second = datasets.ranking_rows(project=project, iteration=2, old_weight=0.5)

    task = Task.objects.get(iteration=1)
    assert first == {
        "ranking_id": task.pk * 32,
        "prompt_id": task.prompt_id,
        "prompt": task.prompt.messages,
        "completion_ids": list(task.task_completions.values_list("completion_id", flat=True)),
        "completions": ["x", "y", "z"],
        "ranks": [3, 1, 2],
        "edited": False,
        "strength": 0,
        "strength_scale": "",
        "safety": "",
        "all_bad": False,
        "names_itself": False,
        "adjudicated": False,
        "labeler": ada.pseudonym,
        "weight": 0.5,
        "iteration": 1,
        "split": task.prompt.split,
    }
    assert (second["iteration"], second["weight"]) == (2, 1.0)
    assert [row["iteration"] for row in datasets.ranking_rows(project=project, iteration=1, old_weight=0.5)] == [1]
    assert [row["iteration"] for row in datasets.ranking_rows(project=project, iteration=2, old_weight=0)] == [2]


def test_rows_do_not_depend_on_who_answered_first(project: Project, ada: Access, bo: Access) -> None:
    rows.ranking_task(project=project, texts=["x", "y"], overlap=2)
    slots = [assignments.next_task(access=who, now=NOW) for who in (ada, bo)]
    assert [held.slot for held in slots if held] == [0, 1]
    answer(bo, best_first=["x", "y"])
    answer(ada, best_first=["y", "x"])

    ids_and_ranks = [
        (row["ranking_id"] % 32, row["ranks"])
        for row in datasets.ranking_rows(project=project, iteration=0, old_weight=1)
    ]
    assert ids_and_ranks == [(0, [2, 1]), (1, [1, 2])]


def test_surplus_answers_do_not_count(project: Project, ada: Access) -> None:
    rows.ranking_task(project=project, texts=["x", "y"])
    answer(ada, best_first=["x", "y"])
    Ranking.objects.update(counts=False)
    assert not list(datasets.ranking_rows(project=project, iteration=0, old_weight=1))


def test_demonstration_rows_hold_written_and_imported_answers(project: Project, ada: Access) -> None:
    new = imports.new_demonstration(prompt="Greet", completion="Hello")
    imports.add(project=project, demonstrations=[new])
    task = rows.task(project=project)
    answer(ada, text="Dear you")

    imported, written = datasets.demonstration_rows(project=project)

    assert imported["demonstration_id"] < 0 and imported["labeler"] == "import"
    assert imported["prompt"] == [{"role": "user", "content": "Greet"}]
    assert imported["completion"] == "Hello"
    assert written == {
        "demonstration_id": task.pk * 32,
        "prompt_id": task.prompt_id,
        "prompt": task.prompt.messages,
        "completion": "Dear you",
        "labeler": ada.pseudonym,
        "split": task.prompt.split,
    }


def test_an_import_lands_its_good_rows_names_the_bad_ones_and_repeats_harmlessly(project: Project) -> None:
    content = b"""{"prompt": "Greet", "completion": "Hello"}
not json

{"prompt": "Greet"}
{"messages": [{"role": "user", "content": "Bye?"}, {"role": "assistant", "content": "Bye"}]}
"""
    parsed = imports.parse(name="d.jsonl", content=content)
    first, again = (imports.add(project=project, demonstrations=parsed.demonstrations) for _ in range(2))

    assert [bad.line for bad in parsed.bad_rows] == [2, 4]
    assert "JSON" in parsed.bad_rows[0].message and "completion" in parsed.bad_rows[1].message
    assert (first, again) == (imports.Imported(2, 0), imports.Imported(0, 2))
    assert project.prompts.count() == 2


@pytest.mark.parametrize("content", [b"", b"\n\n", b"nonsense", b"\xff\xfe", b'{"prompt": "Greet"}'])
def test_a_file_without_a_good_row_is_refused(content: bytes) -> None:
    with pytest.raises(imports.BadDemonstrationFile, match="d.jsonl: expected"):
        imports.parse(name="d.jsonl", content=content)


def edited_ranking(project: Project, who: Access, **asks: object) -> tuple[Task, dict]:
    """A pair of which the answer "good" is chosen and edited to "better"."""
    protocol = protocols.protocol(project=project, kind="rank")
    protocols.revise(protocol=protocol, num_completions=2, edit_best=True, **asks)
    task = rows.ranking_task(project=project, texts=["bad", "good"])
    held = assignments.next_task(access=who, now=NOW)
    assert held is not None
    texts = dict(held.task.completions.values_list("pk", "text"))
    best = next(key for key, pk in zip("ab", held.order_shown, strict=True) if texts[pk] == "good")
    reply = submissions.Answer(
        submission_id=rows.new_id(), ranks={best: 1, "ab".replace(best, ""): 2},
        edited={"key": best, "text": "better"}, strength=3 if asks.get("strength") else None,
    )  # fmt: skip
    submissions.submit(access=who, assignment_id=held.pk, answer=reply, now=NOW)
    return task, next(datasets.ranking_rows(project=project, iteration=0, old_weight=1))


def test_an_edited_answer_is_exported_above_the_chosen_one_and_that_above_the_rejected(
    project: Project, ada: Access
) -> None:
    task, row = edited_ranking(project, ada, strength="four", allow_ties=False)

    best_first = [text for _, text in sorted(zip(row["ranks"], row["completions"], strict=True))]
    assert best_first == ["better", "good", "bad"]
    assert (row["ranks"], row["edited"], row["strength"], row["strength_scale"]) == ([3, 2, 1], True, 3, "four")
    shown = list(task.task_completions.values_list("completion_id", flat=True))
    assert row["completion_ids"] == [*shown, -row["ranking_id"]]
    pairs = comparisons(row["ranks"])
    won_over = zip(pairs.winners, pairs.losers, strict=True)
    better_than = {(row["completions"][winner], row["completions"][loser]) for winner, loser in won_over}
    assert better_than == {("better", "good"), ("better", "bad"), ("good", "bad")}


def test_rankings_of_every_shape_fit_the_table_and_come_back(project: Project, ada: Access, tmp_path: Path) -> None:
    edited_ranking(project, ada)
    rows.ranking_task(project=project, texts=["x", "y"])
    answer(ada, best_first=["y", "x"])
    found = list(datasets.ranking_rows(project=project, iteration=0, old_weight=1))
    tables.write_table(tmp_path / "r.parquet", tables.RANKINGS, found)
    tables.write_jsonl(tmp_path / "r.jsonl", tables.RANKINGS, found)
    assert tables.read_table(tmp_path / "r.parquet", tables.RANKINGS) == found
    assert tables.read_jsonl(tmp_path / "r.jsonl", tables.RANKINGS) == found
    assert [row["edited"] for row in found] == [True, False]


def test_the_scale_of_strength_is_that_under_which_it_was_given(project: Project, ada: Access) -> None:
    edited_ranking(project, ada, strength="four", allow_ties=False)
    protocols.revise(protocol=protocols.protocol(project=project, kind="rank"), strength="seven")
    (row,) = datasets.ranking_rows(project=project, iteration=0, old_weight=1)
    assert row["strength_scale"] == "four"


@pytest.mark.parametrize("said", ["chosen", "both", "neither"])
def test_the_safety_of_a_pair_is_exported_as_it_was_said(said: str, project: Project, ada: Access) -> None:
    protocol = protocols.protocol(project=project, kind="rank")
    protocols.revise(protocol=protocol, num_completions=2, ask_pair_safety=True)
    rows.ranking_task(project=project, texts=["x", "y"])
    held = assignments.next_task(access=ada, now=NOW)
    assert held is not None
    reply = submissions.Answer(submission_id=rows.new_id(), ranks={"a": 1, "b": 2}, safety=said)
    submissions.submit(access=ada, assignment_id=held.pk, answer=reply, now=NOW)

    (row,) = datasets.ranking_rows(project=project, iteration=0, old_weight=1)

    assert row["safety"] == said


def test_answers_to_gold_tasks_teach_no_model(project: Project, ada: Access) -> None:
    protocol = protocols.protocol(project=project, kind="rank")
    gold = b'{"prompt": "Greet", "completions": ["Hello", "Go"], "ranks": [1, 2]}'
    parsed = gold_files.parse(name="g.jsonl", content=gold, protocol=protocol)
    batches.open_gold(project=project, protocol=protocol, rows=parsed.tasks, now=NOW)
    task = Task.objects.get()
    held = Assignment.objects.create(
        task=task, labeler=ada.user, slot=0, state="leased", lease_expires_at=NOW,
        order_shown=list(task.task_completions.values_list("completion_id", flat=True)),
    )  # fmt: skip

    reply = submissions.Answer(submission_id=rows.new_id(), ranks={"a": 1, "b": 2})
    submissions.submit(access=ada, assignment_id=held.pk, answer=reply, now=NOW)

    assert Submission.objects.get().gold_score == 1.0
    assert not list(datasets.ranking_rows(project=project, iteration=0, old_weight=1))
    assert not annotated(project=project).exists()
    assert batches.progress(project=project, batch=task.batch) == batches.Progress(num_tasks=0, num_done=0)
    assert batches.close(project=project, batch=task.batch) == 0
