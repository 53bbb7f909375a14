from __future__ import annotations

import pytest

from annotate import assignment as assignments
from annotate import datasets, imports, submissions
from annotate.models import Assignment, Ranking, Task
from rlhf.access import Access
from rlhf.models import Project
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
