from __future__ import annotations

import pytest

from annotate import batches
from annotate.models import Protocol, Task
from rlhf.models import Evaluation, Project
from tests.annotate import rows


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
