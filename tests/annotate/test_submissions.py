"""What an answer must contain, and that it is stored exactly once."""

from __future__ import annotations

from datetime import timedelta

import pytest

from annotate import assignment as assignments
from annotate import batches, leases, protocols, submissions
from annotate.models import Assignment, Demonstration, Protocol, Ranking, Submission, Task
from rlhf.access import Access
from rlhf.models import Evaluation, Judge, Project, Verdict
from tests.annotate import rows
from tests.annotate.rows import NOW

State = Assignment.State
LATER = NOW + timedelta(minutes=31)


def lease(who: Access, now=NOW) -> Assignment:
    held = assignments.next_task(access=who, now=now)
    assert held is not None
    return held


def submit(who: Access, held: Assignment, now=NOW, submission_id=None, **answer) -> submissions.Stored:
    reply = submissions.Answer(submission_id=submission_id or rows.new_id(), **answer)
    return submissions.submit(access=who, assignment_id=held.pk, answer=reply, now=now)


def test_a_demonstration_is_stored_with_all_that_follows(project: Project, ada: Access) -> None:
    task = rows.task(project=project)
    protocols.revise(protocol=task.protocol, guidelines="Be kind")
    held = lease(ada)

    stored = submit(ada, held, text="Dear you", active_s=12.5)

    held.refresh_from_db()
    task.refresh_from_db()
    demonstration = Demonstration.objects.get()
    assert (stored.state, stored.answer, stored.revision) == ("submitted", {"text": "Dear you"}, 1)
    assert (held.state, task.state, task.num_submitted) == (State.SUBMITTED, Task.State.DONE, 1)
    assert (demonstration.text, demonstration.prompt, demonstration.counts) == ("Dear you", task.prompt, True)
    assert (demonstration.submission.protocol_revision, demonstration.submission.active_s) == (2, 12.5)


def test_a_retry_gets_the_stored_answer_and_stores_nothing(project: Project, ada: Access) -> None:
    rows.task(project=project)
    held, one_id = lease(ada), rows.new_id()
    first = submit(ada, held, submission_id=one_id, text="Dear you", active_s=3.0)
    again = submit(ada, held, LATER, submission_id=one_id, text="Dear you", active_s=4.0)
    assert first == again
    assert Submission.objects.count() == Demonstration.objects.count() == 1
    assert Task.objects.get().num_submitted == 1


def test_the_same_id_with_another_answer_is_refused_with_what_is_stored(project: Project, ada: Access) -> None:
    rows.task(project=project)
    rows.task(project=project)
    held, one_id = lease(ada), rows.new_id()
    submit(ada, held, submission_id=one_id, text="Dear you")
    for other in (held, lease(ada)):  # another text, and another task
        with pytest.raises(submissions.SubmissionReused) as refused:
            submit(ada, other, submission_id=one_id, text="Dear me" if other is held else "Dear you")
        assert refused.value.extra["stored"]["answer"] == {"text": "Dear you"}


def test_a_second_tab_is_refused_with_the_stored_answer(project: Project, ada: Access) -> None:
    rows.task(project=project)
    held = lease(ada)
    submit(ada, held, text="first tab")
    with pytest.raises(leases.NotYoursAnyMore) as refused:
        submit(ada, held, text="second tab")
    assert refused.value.extra["stored"]["answer"] == {"text": "first tab"}
    assert Submission.objects.count() == 1


def test_ranks_are_stored_dense_in_the_order_of_the_task_whatever_the_order_shown(
    project: Project, ada: Access
) -> None:
    rows.ranking_task(project=project, texts=["w", "x", "y", "z"])
    held = lease(ada)
    in_task = list(held.task.task_completions.values_list("completion_id", flat=True))
    wanted = dict(zip(in_task, [2, 1, 2, 4], strict=True))  # competition ranks: w and y tie behind x, z is last
    ranks = {key: wanted[pk] for key, pk in zip("abcd", held.order_shown, strict=True)}

    stored = submit(ada, held, ranks=ranks)

    ranking = Ranking.objects.get()
    assert (ranking.completion_ids, ranking.ranks) == (in_task, [2, 1, 2, 3])
    assert sorted(stored.answer["ranks"].values()) == [1, 2, 2, 3]


def test_an_answer_after_the_lapse_takes_a_free_slot_again(project: Project, ada: Access) -> None:
    rows.task(project=project)
    held = lease(ada)
    Assignment.objects.filter(pk=held.pk).update(state=State.EXPIRED, slot=None)
    assert submit(ada, held, LATER, text="late").state == "submitted"
    assert Task.objects.get().state == Task.State.DONE


def test_an_answer_after_the_lapse_without_a_slot_is_kept_and_not_counted(
    project: Project, ada: Access, bo: Access
) -> None:
    rows.task(project=project)
    held = lease(ada)
    submit(bo, lease(bo, LATER), LATER, text="in time")

    stored = submit(ada, held, LATER, text="too late")

    assert stored.state == "surplus"
    assert dict(Demonstration.objects.values_list("text", "counts")) == {"in time": True, "too late": False}
    assert Task.objects.get().num_submitted == 1


def test_an_answer_to_a_closed_task_is_kept_and_not_counted(project: Project, ada: Access) -> None:
    task = rows.task(project=project)
    held = lease(ada)
    batches.close(project=project, batch=task.batch)
    assert submit(ada, held, text="under way").state == "surplus"
    task.refresh_from_db()
    assert (task.num_submitted, task.state) == (0, Task.State.CLOSED)


def test_a_skipped_task_takes_no_answer(project: Project, ada: Access) -> None:
    rows.task(project=project)
    held = lease(ada)
    leases.skip(access=ada, assignment_id=held.pk, reason="unclear")
    with pytest.raises(leases.NotYoursAnyMore, match="skipped"):
        submit(ada, held, text="after all")


@pytest.mark.parametrize(
    ("ranks", "message"),
    [
        ({"a": 1, "b": 2}, "a rank for each of a, b, c"),
        ({"a": 1, "b": 2, "c": 3, "d": 4}, "a rank for each of a, b, c"),
        ({"a": 1, "b": 2, "z": 3}, "a rank for each of a, b, c"),
        ({"a": 2, "b": 2, "c": 3}, "from 1 without gaps"),
        ({"a": 1, "b": 3, "c": 3}, "from 1 without gaps"),
        (None, "a rank for each of a, b, c, found nothing"),
    ],
)
def test_ranks_that_do_not_fit_are_refused(project: Project, ada: Access, ranks: dict | None, message: str) -> None:
    rows.ranking_task(project=project, texts=["x", "y", "z"])
    with pytest.raises(submissions.BadAnswer, match=message):
        submit(ada, lease(ada), ranks=ranks)
    assert not Submission.objects.exists()


def test_ties_are_refused_where_the_protocol_allows_none(project: Project, ada: Access) -> None:
    protocols.revise(protocol=protocols.protocol(project=project, kind=Protocol.Kind.RANK), allow_ties=False)
    rows.ranking_task(project=project, texts=["x", "y"])
    with pytest.raises(submissions.BadAnswer, match="no ties"):
        submit(ada, lease(ada), ranks={"a": 1, "b": 1})


@pytest.mark.parametrize("text", ["  \n", "x" * 100_001, "a\0b"])
def test_texts_that_cannot_count_are_refused(project: Project, ada: Access, text: str) -> None:
    rows.task(project=project)
    with pytest.raises((submissions.BadAnswer, leases.BadDraft), match="expected"):
        submit(ada, lease(ada), text=text)


@pytest.mark.parametrize(("candidate_rank", "score"), [(1, 1.0), (2, 0.0), (None, 0.5)])
def test_a_comparison_becomes_a_verdict_of_the_people(
    project: Project, ada: Access, candidate_rank: int | None, score: float
) -> None:
    prompt = rows.prompts(project=project, num=1)[0]
    old, new = rows.version(project=project, name="v0"), rows.version(project=project, name="v1")
    rows.completions(prompt=prompt, version=old, texts=["old"])
    (candidate,) = rows.completions(prompt=prompt, version=new, texts=["new"])
    evaluation = Evaluation.objects.create(project=project, candidate=new, baseline=old, iteration=1)
    batches.open_comparisons(evaluation=evaluation, prompts=[prompt], batch="c")
    held = lease(ada)
    key = "ab"[held.order_shown.index(candidate.pk)]
    other = "ab".replace(key, "")

    submit(ada, held, ranks={key: candidate_rank or 1, other: 3 - candidate_rank if candidate_rank else 1})

    verdict = Verdict.objects.get()
    assert (verdict.score, verdict.rater, verdict.candidate_completion) == (score, ada.pseudonym, candidate)
    assert verdict.position == ("candidate_first" if key == "a" else "baseline_first")
    assert verdict.judge.kind == Judge.Kind.PEOPLE
