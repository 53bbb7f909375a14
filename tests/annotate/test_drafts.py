"""No draft of another window is overwritten unseen, and of one browser's drafts the latest stays."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from annotate import assignment, leases
from annotate.drafts import OverwritesNewer
from annotate.models import Assignment
from rlhf.access import Access
from tests.annotate import rows
from tests.annotate.rows import NOW

pytestmark = pytest.mark.django_db
LATER = NOW + timedelta(seconds=5)


@pytest.fixture
def ada() -> Access:
    project = rows.project()
    rows.task(project=project)
    return rows.member(project=project, name="ada")


@pytest.fixture
def held(ada: Access) -> Assignment:
    found = assignment.next_task(access=ada, now=NOW)
    assert found is not None
    return found


def draft(text: str, browser: str, seq: int) -> dict[str, Any]:
    return {"text": text, "_by": {"browser": browser, "seq": seq}}


def test_the_highest_number_of_a_browser_stays_in_whatever_order_drafts_come(ada: Access, held: Assignment) -> None:
    for text, seq in (("Dear R", 6), ("Dear Ruth", 9), ("Dear Ru", 7)):
        leases.save_draft(access=ada, assignment_id=held.pk, draft=draft(text, "one", seq), follows=None, now=NOW)
    held.refresh_from_db()
    assert held.draft == draft("Dear Ruth", "one", 9)


def test_another_browser_must_follow_from_what_is_stored(ada: Access, held: Assignment) -> None:
    save = {"access": ada, "assignment_id": held.pk}
    leases.save_draft(**save, draft=draft("at home", "one", 5), follows=None, now=NOW)
    with pytest.raises(OverwritesNewer) as refused:
        leases.save_draft(**save, draft=draft("at work", "two", 50), follows=None, now=LATER)
    assert refused.value.extra["newer"] == {"draft": draft("at home", "one", 5), "draft_saved_at": NOW.isoformat()}
    leases.save_draft(**save, draft=draft("at work, seen", "two", 51), follows=NOW, now=LATER)
    held.refresh_from_db()
    assert (held.draft, held.draft_saved_at) == (draft("at work, seen", "two", 51), LATER)


def test_a_client_that_does_not_say_what_it_follows_is_taken_at_its_word(ada: Access, held: Assignment) -> None:
    leases.save_draft(access=ada, assignment_id=held.pk, draft=draft("x", "one", 5), follows=None, now=NOW)
    leases.save_draft(access=ada, assignment_id=held.pk, draft={"text": "y", "_by": "odd"}, now=LATER)
    held.refresh_from_db()
    assert held.draft == {"text": "y", "_by": "odd"}
