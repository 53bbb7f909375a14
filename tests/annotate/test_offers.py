"""Which tasks a person may get: gold among work, qualification first, limits, and nothing of one's own."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotate import assignment as assignments
from annotate import leases, people, pool, protocols, sequences, submissions
from annotate.models import Assignment, Protocol, Qualification, Sequence, Task, TaskAuthor
from rlhf.access import Access
from rlhf.models import Project
from tests.annotate import rows
from tests.annotate.rows import NOW

Purpose = Task.Purpose


def protocol(project: Project, **changes: Any) -> Protocol:
    return protocols.revise(protocol=protocols.protocol(project=project, kind=Protocol.Kind.RANK), **changes)


def task(project: Project, **fields: Any) -> Task:
    return rows.ranking_task(project=project, texts=["better", "worse"], **fields)


def known(project: Project, purpose: str, num: int) -> list[Task]:
    """Tasks whose answer is known, for any number of people."""
    made = [task(project, overlap=30_000) for _ in range(num)]
    Task.objects.filter(pk__in=[task.pk for task in made]).update(purpose=purpose, expected={"ranks": [1, 2]})
    return made


def answer(who: Access, held: Assignment) -> None:
    given = submissions.Answer(submission_id=rows.new_id(), ranks={"a": 1, "b": 2})
    submissions.submit(access=who, assignment_id=held.pk, answer=given, now=NOW)


def skip_all(who: Access, num: int) -> list[Task]:
    """The tasks that a person gets, one after the other."""
    got = []
    for _ in range(num):
        held = assignments.next_task(access=who, now=NOW)
        assert held is not None
        got.append(held.task)
        leases.skip(access=who, assignment_id=held.pk, reason="next")
    return got


@given(seed=st.text(max_size=20), percent=st.integers(0, 50), block=st.integers(0, 50))
def test_each_block_of_a_sequence_has_exactly_its_share_of_gold(seed: str, percent: int, block: int) -> None:
    size = 100 * block
    found = [sequences.is_gold(seed=seed, position=size + place, percent=percent) for place in range(100)]
    assert sum(found) == percent


def test_two_people_meet_gold_at_different_places() -> None:
    places = {
        seed: [place for place in range(200) if sequences.is_gold(seed=seed, position=place, percent=10)]
        for seed in ("ada", "bo")
    }
    assert places["ada"] != places["bo"]
    assert [sum(place // 20 == block for place in places["ada"]) for block in range(10)] == [2] * 10


def test_gold_comes_in_its_exact_share_and_prefetching_changes_nothing(project: Project, ada: Access) -> None:
    protocol(project, gold_percent=25)
    for _ in range(40):
        task(project)
    known(project, Purpose.GOLD, 20)
    purposes, turn = [], assignments.next_turn_and_prefetch(access=ada, now=NOW)
    shown = turn.next
    for _ in range(20):
        assert shown is not None
        purposes.append(shown.task.purpose)
        following = turn.prefetched
        assert following is not None
        if len(purposes) % 3 == 0:  # somebody took the reservation
            Assignment.objects.filter(pk=following.pk).delete()
        leases.skip(access=ada, assignment_id=shown.pk, reason="next")
        turn = assignments.next_turn_and_prefetch(access=ada, now=NOW, holds=following.pk)
        shown = following if turn.confirmed is not None else turn.next
    assert Counter(purposes) == {Purpose.GOLD: 5, Purpose.WORK: 15}


def test_gold_tasks_are_for_everybody_in_slots_one_after_the_other(project: Project, ada: Access, bo: Access) -> None:
    protocol(project, gold_percent=50)
    for _ in range(40):
        task(project, overlap=2)
    (gold,) = known(project, Purpose.GOLD, 1)
    for who in (ada, bo):
        skip_all(who, 20)
    assert Assignment.objects.filter(task=gold).count() == 2
    third = rows.member(project=project, name="cy")
    held = assignments.next_task(access=third, now=NOW)
    while held is not None and held.task_id != gold.pk:
        leases.skip(access=third, assignment_id=held.pk, reason="next")
        held = assignments.next_task(access=third, now=NOW)
    assert held is not None and held.slot == 0  # skipping freed the others


def test_without_work_there_is_no_gold(project: Project, ada: Access) -> None:
    protocol(project, gold_percent=50)
    known(project, Purpose.GOLD, 5)
    assert assignments.next_task(access=ada, now=NOW) is None


def test_qualification_comes_first_and_work_only_once_it_is_passed(project: Project, ada: Access) -> None:
    asked = protocol(project, qualification_size=2)
    task(project)
    known(project, Purpose.QUALIFICATION, 5)

    first = assignments.next_task(access=ada, now=NOW)
    assert first is not None and first.task.purpose == Purpose.QUALIFICATION
    assert (second := assignments.prefetch(access=ada, now=NOW)) is not None
    assert second.task.purpose == Purpose.QUALIFICATION and second.task_id != first.task_id
    leases.renew(access=ada, assignment_id=second.pk, now=NOW)
    assert assignments.prefetch(access=ada, now=NOW) is None  # two of two are under way

    Qualification.objects.create(protocol=asked, labeler=ada.user, state="passed", num_answered=2, num_right=2)
    Assignment.objects.all().update(state=Assignment.State.SUBMITTED)
    worked = assignments.next_task(access=ada, now=NOW)
    assert worked is not None and worked.task.purpose == Purpose.WORK


def test_who_failed_a_qualification_gets_nothing_of_that_protocol(project: Project, ada: Access) -> None:
    asked = protocol(project, qualification_size=2)
    task(project)
    known(project, Purpose.QUALIFICATION, 5)
    Qualification.objects.create(protocol=asked, labeler=ada.user, state="failed", num_answered=2)
    assert assignments.next_task(access=ada, now=NOW) is None


def test_nobody_gets_a_task_that_shows_what_they_wrote(project: Project, ada: Access, bo: Access) -> None:
    shown = task(project)
    TaskAuthor.objects.create(task=shown, author=ada.user)
    assert assignments.next_task(access=ada, now=NOW) is None
    assert assignments.prefetch(access=bo, now=NOW) is not None
    assert assignments.next_task(access=ada, now=NOW) is None  # nor by taking it over


def test_who_declines_warned_tasks_gets_none_and_gives_back_what_they_hold(
    project: Project, ada: Access, bo: Access
) -> None:
    protocol(project, content_warning="violence")
    task(project)
    held = assignments.next_task(access=ada, now=NOW)
    assert held is not None
    people.choose(access=ada, declines_warned=True)
    assert assignments.next_task(access=ada, now=NOW) is None
    held.refresh_from_db()
    assert (held.state, held.slot) == (Assignment.State.EXPIRED, None)
    assert assignments.next_task(access=bo, now=NOW) is not None


def test_the_daily_limit_holds_for_a_day_and_counts_what_is_in_hand(project: Project, ada: Access) -> None:
    protocol(project, daily_limit=2)
    for _ in range(4):
        task(project)
    first = assignments.next_task(access=ada, now=NOW)
    assert first is not None
    assert assignments.prefetch(access=ada, now=NOW) is not None
    answer(ada, first)
    second = assignments.next_task(access=ada, now=NOW)
    assert second is not None
    assert assignments.prefetch(access=ada, now=NOW) is None
    answer(ada, second)
    assert assignments.next_task(access=ada, now=NOW) is None
    assert assignments.next_task(access=ada, now=NOW + timedelta(days=1)) is not None


def test_a_task_that_came_back_is_met_again_at_the_end_of_its_queue(project: Project, ada: Access, bo: Access) -> None:
    """Ada's start has passed a task that Bo held; when Bo gives it back it queues up ahead of her."""
    tasks = [task(project) for _ in range(40)]
    held = assignments.next_task(access=bo, now=NOW)
    assert held is not None
    seen = {task.pk for task in skip_all(ada, 39)}
    assert held.task_id not in seen
    leases.skip(access=bo, assignment_id=held.pk, reason="unclear")
    assert [task.pk for task in skip_all(ada, 1)] == [held.task_id]
    assert seen | {held.task_id} == {task.pk for task in tasks}


def test_a_task_behind_a_persons_start_is_found_before_anybody_is_told_that_nothing_is_left(
    project: Project, ada: Access, bo: Access
) -> None:
    tasks = [task(project) for _ in range(3)]
    skip_all(ada, 2)
    places = Sequence.objects.get(labeler=ada.user).places
    for level in places.values():
        level["from"] = dict.fromkeys(level["from"], Task.objects.latest("queue_place").queue_place + 1)
    Sequence.objects.filter(labeler=ada.user).update(places=places)
    held = assignments.next_task(access=ada, now=NOW)
    assert held is not None and held.task_id in {task.pk for task in tasks}


def test_priorities_are_served_from_the_top_whatever_was_begun_before(project: Project, ada: Access) -> None:
    for priority in (0, 0, 5, 0, 5, -1):
        rows.task(project=project, priority=priority)
    first = skip_all(ada, 3)
    rows.task(project=project, priority=9)
    rows.task(project=project, priority=5)
    rest = skip_all(ada, 5)
    assert [task.priority for task in first + rest] == [5, 5, 0, 9, 5, 0, 0, -1]


def test_the_person_looks_on_from_where_they_came_to(project: Project, ada: Access) -> None:
    protocol(project, auto_pause=False)  # all answers come at the same moment
    for _ in range(60):
        task(project, overlap=2)
    for _ in range(40):
        held = assignments.next_task(access=ada, now=NOW)
        assert held is not None
        answer(ada, held)
    (level,) = pool.levels(project_id=project.pk)
    start = sequences.Steps(0, Sequence.objects.get(labeler=ada.user).places).start(level.protocol_id, level.name)
    behind = Task.objects.filter(queue_place__lt=start)
    assert behind.count() > 10  # the window of candidates follows, and those in it that she has seen
    assert not behind.exclude(assignments__labeler=ada.user).exists()


@pytest.mark.parametrize("percent", [1, 7, 10, 25, 33, 50])
def test_a_sequence_keeps_its_share_in_the_long_run(percent: int) -> None:
    found = sum(sequences.is_gold(seed="s", position=place, percent=percent) for place in range(1_000))
    assert found == 10 * percent
