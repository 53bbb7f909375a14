from __future__ import annotations

import pytest

from annotate import batches, protocols
from annotate.models import Protocol, Ranking, Task, TaskAuthor
from rlhf.access import Access
from rlhf.models import Evaluation, Project
from tests.annotate import rows
from tests.annotate.test_submissions import lease, submit


def test_opening_a_batch_twice_opens_it_once(project: Project) -> None:
    prompts = rows.prompts(project=project, num=3)
    assert batches.open_demonstrations(project=project, prompts=prompts[:2], batch="d") == 2
    assert batches.open_demonstrations(project=project, prompts=prompts, batch="d") == 1
    assert batches.progress(project=project, batch="d") == batches.Progress(num_tasks=3, num_done=0)


def test_a_ranking_task_shows_the_first_k_completions_by_sample_index(project: Project) -> None:
    prompt = rows.prompts(project=project, num=1)[0]
    made = rows.completions(prompt=prompt, version=rows.version(project=project), texts=list("abcdef"))

    batches.open_rankings(project=project, batch="r1", iteration=1, completions=made[::-1])

    task = Task.objects.get()
    assert (task.kind, task.iteration, task.overlap) == (Protocol.Kind.RANK, 1, 1)
    assert list(task.task_completions.values_list("completion_id", flat=True)) == [one.pk for one in made[:4]]


def test_a_single_completion_cannot_be_ranked_and_nothing_is_opened(project: Project) -> None:
    good, bad = rows.prompts(project=project, num=2)
    model = rows.version(project=project)
    made = rows.completions(prompt=good, version=model, texts=["a", "b"])
    made += rows.completions(prompt=bad, version=model, texts=["a"])
    with pytest.raises(batches.BadBatch, match=f"prompt {bad.pk}: expected at least 2 completions"):
        batches.open_rankings(project=project, batch="r", iteration=1, completions=made)
    assert not Task.objects.exists()


def test_comparisons_are_opened_for_prompts_that_both_versions_answered(project: Project) -> None:
    both, one = rows.prompts(project=project, num=2)
    old, new = rows.version(project=project, name="v0"), rows.version(project=project, name="v1")
    (baseline,) = rows.completions(prompt=both, version=old, texts=["old"])
    rows.completions(prompt=one, version=old, texts=["old"])
    (candidate,) = rows.completions(prompt=both, version=new, texts=["new"])
    evaluation = Evaluation.objects.create(project=project, candidate=new, baseline=old, iteration=2)

    assert batches.open_comparisons(evaluation=evaluation, prompts=[both, one], batch="c") == 1

    task = Task.objects.get()
    assert (task.prompt, task.evaluation, task.iteration) == (both, evaluation, 2)
    assert list(task.task_completions.values_list("completion_id", flat=True)) == [candidate.pk, baseline.pk]


def test_a_closed_batch_wants_nothing_more(project: Project) -> None:
    batches.open_demonstrations(project=project, prompts=rows.prompts(project=project, num=2), batch="d")
    assert batches.close(project=project, batch="d") == 2
    assert batches.progress(project=project, batch="d") == batches.Progress(num_tasks=0, num_done=0)


def test_tasks_of_the_same_versions_in_the_same_order_are_numbered_through(project: Project) -> None:
    prompts = rows.prompts(project=project, num=6)
    old, new = rows.version(project=project, name="v0"), rows.version(project=project, name="v1")
    for prompt in prompts:
        for version in (old, new):
            rows.completions(prompt=prompt, version=version, texts=[version.name])
    one_way = Evaluation.objects.create(project=project, candidate=new, baseline=old, iteration=1)
    other_way = Evaluation.objects.create(project=project, candidate=old, baseline=new, iteration=1)

    batches.open_comparisons(evaluation=one_way, prompts=prompts[:2], batch="c1")
    batches.open_comparisons(evaluation=other_way, prompts=prompts[:3], batch="c2")
    batches.open_comparisons(evaluation=one_way, prompts=prompts, batch="c1")  # goes on after a crash

    def positions(evaluation: Evaluation) -> list[int]:
        return list(evaluation.tasks.order_by("id").values_list("block_position", flat=True))

    assert (positions(one_way), positions(other_way)) == ([0, 1, 2, 3, 4, 5], [0, 1, 2])


def test_an_answer_that_names_itself_is_flagged_in_its_task_and_in_the_ranking(project: Project, ada: Access) -> None:
    prompt = rows.prompts(project=project, num=1)[0]
    texts = ["I am ppo-v3, your assistant", "Claude Monet was a painter"]
    made = rows.completions(prompt=prompt, version=rows.version(project=project, name="ppo-v3"), texts=texts)
    batches.open_rankings(project=project, batch="r", iteration=0, completions=made)
    assert list(Task.objects.get().task_completions.values_list("names_itself", flat=True)) == [True, False]

    submit(ada, lease(ada), ranks={"a": 1, "b": 2})

    assert Ranking.objects.get().names_itself is True


def test_nobody_gets_a_task_that_shows_what_they_wrote(project: Project, ada: Access, bo: Access) -> None:
    prompt, other = rows.prompts(project=project, num=2)
    batches.open_demonstrations(project=project, prompts=[prompt], batch="d")
    submit(ada, lease(ada), text="Dear  Ruth,\nthank you")
    model = rows.version(project=project)
    for asked in (prompt, other):
        made = rows.completions(prompt=asked, version=model, texts=["Dear Ruth, thank you", "Hello"])
        batches.open_rankings(project=project, batch="r", iteration=0, completions=made)

    assert list(TaskAuthor.objects.values_list("task__prompt", "author")) == [(prompt.pk, ada.user.pk)]


def test_an_edit_makes_an_author_too(project: Project, ada: Access) -> None:
    protocols.revise(protocol=protocols.protocol(project=project, kind="rank"), edit_best=True)
    task = rows.ranking_task(project=project, texts=["x", "y"])
    submit(ada, lease(ada), ranks={"a": 1, "b": 2}, edited={"key": "a", "text": "My own"})
    made = rows.completions(prompt=task.prompt, version=task.completions.first().version, texts=["My own", "z"])
    batches.open_rankings(project=project, batch="next", iteration=1, completions=made)
    assert TaskAuthor.objects.get().task.batch == "next"


def test_as_many_tasks_to_write_a_prompt_are_opened_as_asked_for(project: Project) -> None:
    write = protocols.protocol(project=project, kind=Protocol.Kind.PROMPT)
    assert batches.open_prompts(project=project, protocol=write, num=201) == 201
    assert Task.objects.filter(prompt=None, kind="prompt", state="open").count() == 201
    for protocol, num in ((write, 0), (protocols.protocol(project=project, kind="rank"), 1)):
        with pytest.raises(batches.BadBatch, match="expected"):
            batches.open_prompts(project=project, protocol=protocol, num=num)
