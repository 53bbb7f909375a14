"""Undo and revise: both versions stay, the latest one counts, and nothing changes once the time is over."""

from __future__ import annotations

from datetime import timedelta

import pytest

from annotate import batches, datasets, leases, protocols, submissions
from annotate.models import Assignment, Demonstration, Protocol, Ranking, Submission, Task
from rlhf import evaluations
from rlhf.access import Access
from rlhf.models import Completion, Evaluation, Project, Prompt, Verdict
from rlhf.prompts import split_of
from tests.annotate import rows
from tests.annotate.rows import NOW
from tests.annotate.test_api import an_answer, client, send
from tests.annotate.test_submissions import lease, submit

LAST_MOMENT = NOW + timedelta(minutes=submissions.UNDO_MINUTES)
TOO_LATE = LAST_MOMENT + timedelta(seconds=1)


def compared(project: Project) -> tuple[Evaluation, Completion]:
    prompt = rows.prompts(project=project, num=1)[0]
    old, new = rows.version(project=project, name="v0"), rows.version(project=project, name="v1")
    rows.completions(prompt=prompt, version=old, texts=["old"])
    (candidate,) = rows.completions(prompt=prompt, version=new, texts=["new"])
    evaluation = Evaluation.objects.create(project=project, candidate=new, baseline=old, iteration=1)
    batches.open_comparisons(evaluation=evaluation, prompts=[prompt], batch="c")
    return evaluation, candidate


def test_undo_brings_the_last_answer_back_and_a_revision_keeps_both(project: Project, ada: Access) -> None:
    task = rows.ranking_task(project=project, texts=["x", "y"])
    held = lease(ada)
    submit(ada, held, ranks={"a": 1, "b": 2})

    last = submissions.undo(access=ada, now=LAST_MOMENT)
    stored = submit(ada, held, LAST_MOMENT, ranks={"a": 2, "b": 1}, revises=last.revision)

    assert (last.assignment_id, last.body, last.revision) == (held.pk, {"ranks": {"a": 1, "b": 2}}, 1)
    assert (stored.revision, stored.answer) == (2, {"ranks": {"a": 2, "b": 1}})
    first, second = Ranking.objects.order_by("id")
    assert (first.counts, second.counts, first.ranks) == (False, True, second.ranks[::-1])
    (row,) = datasets.ranking_rows(project=project, iteration=0, old_weight=1)
    assert row["ranks"] == second.ranks
    task.refresh_from_db()
    assert (task.num_submitted, task.state) == (1, Task.State.DONE)


def test_a_revision_may_be_revised_again_and_each_opens_the_window_anew(project: Project, ada: Access) -> None:
    rows.task(project=project)
    held = lease(ada)
    submit(ada, held, text="one")
    submit(ada, held, LAST_MOMENT, text="two", revises=1)
    third = submit(ada, held, LAST_MOMENT + timedelta(minutes=9), text="three", revises=2)
    assert (third.revision, Submission.objects.count()) == (3, 3)
    assert list(Demonstration.objects.filter(counts=True).values_list("text", flat=True)) == ["three"]


def test_a_retried_revision_is_stored_once_and_a_second_tab_gets_what_is_stored(project: Project, ada: Access) -> None:
    rows.task(project=project)
    held, one_id = lease(ada), rows.new_id()
    submit(ada, held, text="one")
    tries = [submit(ada, held, submission_id=one_id, text="two", revises=1) for _ in range(5)]
    assert len(set(map(repr, tries))) == 1 and Submission.objects.count() == 2
    with pytest.raises(leases.NotYoursAnyMore) as refused:
        submit(ada, held, text="other tab", revises=1)
    assert refused.value.extra["stored"]["answer"] == {"text": "two"}


def test_an_answer_stays_once_its_time_is_over(project: Project, ada: Access) -> None:
    rows.task(project=project)
    held = lease(ada)
    stored = submit(ada, held, text="one")
    assert stored.undo_until == LAST_MOMENT
    with pytest.raises(submissions.NothingToUndo, match="10 minutes"):
        submissions.undo(access=ada, now=TOO_LATE)
    with pytest.raises(submissions.NothingToUndo, match="10 minutes"):
        submit(ada, held, TOO_LATE, text="two", revises=1)
    assert Submission.objects.count() == 1


def test_there_is_nothing_to_undo_before_an_answer_and_none_of_somebody_else(
    project: Project, ada: Access, bo: Access
) -> None:
    rows.task(project=project)
    held = lease(ada)
    for who in (ada, bo):
        with pytest.raises(submissions.NothingToUndo, match="not answered anything"):
            submissions.undo(access=who, now=NOW)
    with pytest.raises(submissions.NothingToUndo, match="no answer of yours yet"):
        submit(ada, held, text="x", revises=1)
    submit(ada, held, text="x")
    with pytest.raises(leases.NoSuchAssignment):
        submit(bo, held, text="y", revises=1)


def test_a_revised_comparison_has_one_verdict_that_counts(project: Project, ada: Access) -> None:
    evaluation, candidate = compared(project)
    held = lease(ada)
    won = "ab"[held.order_shown.index(candidate.pk)]
    lost = "ab".replace(won, "")
    submit(ada, held, ranks={won: 1, lost: 2})
    submit(ada, held, ranks={won: 2, lost: 1}, revises=1)
    submit(ada, held, ranks={won: 1, lost: 1}, revises=2)

    assert [verdict.score for verdict in evaluations.visible_verdicts().filter(evaluation=evaluation)] == [0.5]
    assert list(Verdict.objects.order_by("id").values_list("score", "replicate")) == [(1, 0), (0, 1), (0.5, 2)]


def test_a_surplus_answer_is_revised_and_still_does_not_count(project: Project, ada: Access, bo: Access) -> None:
    rows.task(project=project)
    held = lease(ada)
    Assignment.objects.filter(pk=held.pk).update(state="expired", slot=None)
    submit(bo, lease(bo), text="in time")
    submit(ada, held, text="late")
    assert submit(ada, held, text="later", revises=1).state == "surplus"
    assert list(Demonstration.objects.filter(counts=True).values_list("text", flat=True)) == ["in time"]


@pytest.mark.parametrize("state", ["quarantined", "adjudicated"])
def test_an_answer_that_was_set_aside_is_neither_revised_nor_given_again(
    project: Project, ada: Access, state: str
) -> None:
    rows.task(project=project)
    held = lease(ada)
    submit(ada, held, text="one")
    Assignment.objects.filter(pk=held.pk).update(state=state, slot=None)
    with pytest.raises(submissions.NothingToUndo, match="stays"):
        submit(ada, held, text="two", revises=1)
    with pytest.raises(leases.NotYoursAnyMore):
        submit(ada, held, text="two")
    assert Submission.objects.count() == 1


def test_an_answer_is_checked_against_the_revision_under_which_its_task_was_handed_out(
    project: Project, ada: Access, bo: Access
) -> None:
    task = rows.ranking_task(project=project, texts=["x", "y"], overlap=2)
    held = lease(ada)
    protocols.revise(protocol=task.protocol, allow_ties=False, guidelines="No ties")

    submit(ada, held, ranks={"a": 1, "b": 1})
    with pytest.raises(submissions.BadAnswer, match="no ties"):
        submit(bo, lease(bo), ranks={"a": 1, "b": 1})
    submit(bo, lease(bo), ranks={"a": 1, "b": 2})

    revisions = Submission.objects.order_by("id").values_list("protocol_revision", "guideline_revision")
    assert list(revisions) == [(1, 1), (2, 2)]


def prompt_task(project: Project, **asks: object) -> Task:
    protocol = protocols.protocol(project=project, kind=Protocol.Kind.PROMPT)
    protocols.revise(protocol=protocol, **asks)
    batches.open_prompts(project=project, protocol=protocol, num=1)
    return Task.objects.latest("id")


def test_a_written_prompt_is_the_projects_own(project: Project, ada: Access) -> None:
    prompt_task(project, categories=[{"name": "poem", "labels": {"en": "A poem"}}])
    stored = submit(ada, lease(ada), text="Write about tulips", category="poem")
    prompt = Prompt.objects.get()
    assert stored.answer == {"text": "Write about tulips", "category": "poem"}
    assert (prompt.author, prompt.category, prompt.source) == (ada.user, "poem", "labeler")
    assert prompt.messages == [{"role": "user", "content": "Write about tulips"}]
    assert prompt.split == split_of(project=project, messages=prompt.messages)


def test_a_prompt_that_is_there_already_is_refused_in_words(project: Project, ada: Access, bo: Access) -> None:
    for who in (ada, bo):
        prompt_task(project)
        held = lease(who)
        if who == ada:
            submit(who, held, text="Write about tulips")
            continue
        with pytest.raises(submissions.BadAnswer, match="already") as refused:
            submit(who, held, text="Write about tulips")
        assert refused.value.extra["field"] == "text"
    assert Submission.objects.count() == 1
    assert Assignment.objects.get(pk=held.pk).state == "leased"


def test_a_revised_prompt_takes_the_place_of_the_first_until_it_is_used(project: Project, ada: Access) -> None:
    prompt_task(project)
    held = lease(ada)
    submit(ada, held, text="Write abut tulips")
    submit(ada, held, text="Write about tulips", revises=1)
    assert str(Prompt.objects.get()) == "Write about tulips"

    rows.task(project=project, prompt=Prompt.objects.get())
    with pytest.raises(Exception, match="in use") as refused:
        submit(ada, held, text="Write of tulips", revises=2)
    assert refused.value.status == 409  # type: ignore[attr-defined]
    assert str(Prompt.objects.get()) == "Write about tulips" and Submission.objects.count() == 2


def test_undo_over_the_api_shows_the_answer_as_a_draft_and_late_ones_are_refused_in_words(
    project: Project, ada: Access
) -> None:
    rows.task(project=project)
    rows.task(project=project)
    labeler = client(ada)
    assert send(labeler, "undo").status_code == 409
    held = send(labeler, "next").json()["next"]["assignment"]
    reply = send(labeler, f"assignments/{held}/submit", an_answer(text="one")).json()
    assert reply["undo_until"] is not None and reply["feedback"] is None
    showing = reply["next"]["assignment"]

    back = send(labeler, "undo").json()["next"]
    assert (back["assignment"], back["draft"], back["revises"]) == (held, {"text": "one"}, 1)
    revised = send(labeler, f"assignments/{held}/submit", an_answer(text="two", revises=1)).json()

    assert (revised["stored"]["revision"], revised["stored"]["answer"]) == (2, {"text": "two"})
    assert revised["next"]["assignment"] == showing
    Submission.objects.update(created_at=NOW - timedelta(days=300))
    late = send(labeler, "undo")
    assert (late.status_code, "10 minutes" in late.json()["detail"]) == (409, True)


def test_five_retries_two_tabs_a_late_draft_and_a_lapse_leave_one_answer(project: Project, ada: Access) -> None:
    rows.ranking_task(project=project, texts=["x", "y"])
    labeler = client(ada)
    held = send(labeler, "next").json()["next"]["assignment"]
    Assignment.objects.filter(pk=held).update(state="expired", slot=None)
    answer = an_answer(ranks={"a": 1, "b": 2})

    replies = [send(labeler, f"assignments/{held}/submit", answer) for _ in range(5)]
    tab = send(labeler, f"assignments/{held}/submit", an_answer(ranks={"a": 2, "b": 1}))
    draft = send(labeler, f"assignments/{held}/draft", {"draft": {"ranks": {"a": 2, "b": 1}}}, "put")

    assert {reply.status_code for reply in replies} == {200}
    assert len({str(reply.json()["stored"]) for reply in replies}) == 1
    assert (tab.status_code, draft.status_code) == (409, 409)
    assert tab.json()["stored"]["answer"] == {"ranks": {"a": 1, "b": 2}}
    assert Submission.objects.count() == Ranking.objects.count() == 1


def test_guidelines_are_confirmed_once_and_asked_again_when_they_change(project: Project, ada: Access) -> None:
    asked = protocols.protocol(project=project, kind=Protocol.Kind.DEMONSTRATE)
    protocols.revise(protocol=asked, confirm_guidelines=True)
    rows.task(project=project)
    labeler = client(ada)

    def shown() -> dict:
        held = Assignment.objects.filter(state="leased").first()
        if held:
            leases.skip(access=ada, assignment_id=held.pk, reason="next")
            rows.task(project=project)
        return send(labeler, "next").json()["next"]["guidelines"]

    first = shown()
    read = f"guidelines/{first['protocol']}/read"
    assert first["must_read"] and send(labeler, read, {"revision": 7}).status_code == 404
    assert [send(labeler, read, {"revision": first["revision"]}).status_code for _ in range(2)] == [204, 204]
    assert shown()["must_read"] is False
    protocols.revise(protocol=asked, guidelines="Be brief")
    assert (shown()["must_read"], shown()["revision"]) == (True, first["revision"] + 1)


def test_people_who_worked_under_older_guidelines_are_asked_to_read_the_new_ones(
    project: Project, ada: Access, bo: Access
) -> None:
    rows.task(project=project, overlap=1)
    asked = protocols.protocol(project=project, kind=Protocol.Kind.DEMONSTRATE)
    submit(ada, lease(ada), text="Dear you")
    protocols.revise(protocol=asked, guidelines="Be brief")
    rows.task(project=project, overlap=2)
    seen = {who: send(client(who), "next").json()["next"]["guidelines"]["must_read"] for who in (ada, bo)}
    assert seen == {ada: True, bo: False}


def test_a_choice_about_warned_tasks_is_kept(project: Project, ada: Access) -> None:
    labeler = client(ada)
    assert send(labeler, "settings", {"declines_warned": "perhaps"}, "put").status_code == 400
    for declines in (True, False):
        assert send(labeler, "settings", {"declines_warned": declines}, "put").status_code == 204
        assert project.labeler_profiles.get(labeler=ada.user).declines_warned is declines
