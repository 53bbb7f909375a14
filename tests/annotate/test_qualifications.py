"""Nobody reaches work before passing; feedback explains; a person who failed may be let try again."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from annotate import assignment as assignments
from annotate import people, protocols, qualifications, quality
from annotate.models import Protocol, Qualification, Submission, Task
from rlhf.access import Access
from rlhf.models import Project
from tests.annotate import rows
from tests.annotate.crowd import answer

SIZE = 3


@pytest.fixture
def protocol(project: Project) -> Protocol:
    """Work, and six qualification tasks whose first text is the better one."""
    made = protocols.protocol(project=project, kind="rank")
    protocols.revise(protocol=made, qualification_size=SIZE, qualification_percent=66)
    rows.ranking_task(project=project, texts=["x", "y"], overlap=5)
    for _ in range(2 * SIZE):
        task = rows.ranking_task(project=project, texts=["good", "bad"])
        Task.objects.filter(pk=task.pk).update(
            purpose="qualification", expected={"ranks": [1, 2]}, explanation="The first is **polite**.", overlap=1000
        )
    return made


def attempt(who: Access, *, right: list[bool]) -> list[Submission]:
    given = []
    for is_right in right:
        held = assignments.next_task(access=who, now=rows.NOW)
        assert held is not None and held.task.purpose == "qualification"
        first = held.task.task_completions.get(index=0).completion_id
        better_first = held.order_shown[0] == first
        answer(who=who, held=held, ranks=[1, 2] if better_first == is_right else [2, 1], now=rows.NOW)
        given.append(held.submissions.get())
    return given


def test_work_opens_with_the_pass_and_not_before(project: Project, ada: Access, protocol: Protocol) -> None:
    assert qualifications.standing(access=ada).may_work.isdisjoint({protocol.pk})
    attempt(ada, right=[True, False, True])
    mine = Qualification.objects.get()
    assert (mine.state, mine.num_answered, mine.num_right, mine.decided_at) == ("passed", 3, 2, rows.NOW)
    assert assignments.next_task(access=ada, now=rows.NOW).task.purpose == "work"


def test_who_fails_gets_nothing_until_let_try_again_with_tasks_not_seen(
    project: Project, ada: Access, protocol: Protocol
) -> None:
    seen = {given.assignment.task_id for given in attempt(ada, right=[False, False, True])}
    assert Qualification.objects.get().state == "failed"
    assert assignments.next_task(access=ada, now=rows.NOW) is None

    qualifications.try_again(protocol=protocol, labeler=ada.user)

    again = {given.assignment.task_id for given in attempt(ada, right=[True, True, True])}
    assert again.isdisjoint(seen) and Qualification.objects.get().state == "passed"


def test_trying_again_needs_enough_tasks_not_seen(project: Project, ada: Access, protocol: Protocol) -> None:
    for right in (False, False):
        attempt(ada, right=[right] * SIZE)
        if Qualification.objects.get().num_answered and qualifications.num_unseen(protocol=protocol, labeler=ada.user):
            qualifications.try_again(protocol=protocol, labeler=ada.user)
    with pytest.raises(qualifications.TooFewTasks, match="needs 3 .* there are 0"):
        qualifications.try_again(protocol=protocol, labeler=ada.user)


def test_feedback_explains_in_the_keys_of_the_persons_own_screen(
    project: Project, ada: Access, protocol: Protocol
) -> None:
    right, wrong = attempt(ada, right=[True, False])
    said = quality.feedback(submission=wrong)
    assert said is not None and not said.right and "<strong>polite</strong>" in said.html
    given, expected = wrong.body["ranks"], said.expected["ranks"]
    assert expected == {key: 3 - rank for key, rank in given.items()}
    assert quality.feedback(submission=right).right


def test_a_protocol_with_a_warning_is_not_for_those_who_decline_it(project: Project, ada: Access) -> None:
    warned = protocols.protocol(project=project, kind="demonstrate")
    protocols.revise(protocol=warned, content_warning="Violence.")
    assert warned.pk in qualifications.standing(access=ada).may_work
    people.choose(access=ada, declines_warned=True)
    standing = qualifications.standing(access=ada)
    assert standing.declines_warned and warned.pk not in standing.may_work


def test_standing_takes_two_queries(project: Project, ada: Access, protocol: Protocol) -> None:
    with CaptureQueriesContext(
        connection,
    ) as asked:
        qualifications.standing(access=ada)
    assert len(asked) <= 2
