"""Who is given nothing while tasks are open is told why, and not that all of them are taken."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client

from annotate import assignment as assignments
from annotate import leases, nothing_left, people, protocols
from annotate.models import Protocol, Qualification
from rlhf.access import Access
from rlhf.models import Project
from tests.annotate import rows
from tests.annotate.rows import NOW


@pytest.fixture
def protocol(project: Project) -> Protocol:
    for _ in range(3):
        rows.ranking_task(project=project, texts=["better", "worse"])
    return protocols.protocol(project=project, kind=Protocol.Kind.RANK)


def test_a_reached_limit_is_said_until_the_next_day(protocol: Protocol, ada: Access) -> None:
    protocols.revise(protocol=protocol, daily_limit=1)
    assert assignments.next_task(access=ada, now=NOW) is not None

    assert "number of tasks that one person does here in a day" in nothing_left.why(access=ada, now=NOW)
    assert nothing_left.why(access=ada, now=NOW + timedelta(days=1)) != ""  # what is in hand counts on
    protocols.revise(protocol=protocol, daily_limit=2)
    assert nothing_left.why(access=ada, now=NOW) == ""


def test_what_a_person_chose_not_to_see_is_said(protocol: Protocol, ada: Access, bo: Access) -> None:
    protocols.revise(protocol=protocol, content_warning="Violence")
    people.choose(access=ada, declines_warned=True)

    assert assignments.next_task(access=ada, now=NOW) is None
    assert "you chose not to be given such tasks" in nothing_left.why(access=ada, now=NOW)
    assert nothing_left.why(access=bo, now=NOW) == ""


def test_a_qualification_that_was_not_passed_is_said(protocol: Protocol, ada: Access) -> None:
    protocols.revise(protocol=protocol, qualification_size=2, qualification_percent=100)
    Qualification.objects.create(protocol=protocol, labeler=ada.user, state=Qualification.State.FAILED)

    assert "a qualification that you did not pass" in nothing_left.why(access=ada, now=NOW)


def test_where_everything_is_taken_there_is_nothing_to_add(protocol: Protocol, ada: Access, client: Client) -> None:
    for _ in range(3):
        held = assignments.next_task(access=ada, now=NOW)
        assert held is not None
        leases.skip(access=ada, assignment_id=held.pk, reason="next")
    client.force_login(ada.user)

    reply = client.post("/api/v1/labeling/letters/next", {}, content_type="application/json").json()

    assert (reply["next"], reply["why_nothing"]) == (None, "")


def test_the_page_and_the_api_say_it(protocol: Protocol, ada: Access, client: Client) -> None:
    protocols.revise(protocol=protocol, content_warning="Violence")
    people.choose(access=ada, declines_warned=True)
    client.force_login(ada.user)

    reply = client.post("/api/v1/labeling/letters/next", {}, content_type="application/json").json()

    assert "such tasks" in reply["why_nothing"]
    assert reply["why_nothing"] in client.get("/p/letters/label/").content.decode()
