"""Which draft of a task is newer. A draft is the page's own affair but for `_by`: {"browser": id, "seq": number}.

The numbers of one browser go on over all its tabs: of its drafts the highest stays, in whatever order they come. A
draft of another browser must follow from the one that is stored; else both are worth something, and a person decides.
"""

from __future__ import annotations

from datetime import datetime
from types import EllipsisType
from typing import Any

from annotate.models import Assignment
from rlhf.errors import Refusal


class OverwritesNewer(Refusal):
    """`extra` carries the draft that would be lost."""

    status = 409


def is_late(draft: dict[str, Any], *, stored: dict[str, Any] | None) -> bool:
    """An earlier state of what the same browser has stored already."""
    (browser, seq), (stored_browser, stored_seq) = _writer(draft), _writer(stored)
    return browser is not None and browser == stored_browser and seq < stored_seq


def refuse_overwriting(
    assignment: Assignment, draft: dict[str, Any], *, follows: datetime | EllipsisType | None
) -> None:
    """Raises OverwritesNewer where another browser wrote after the draft that this one goes on from.

    `follows` is when that one was saved, None for no draft, ... from a client that does not say.
    """
    if follows is ... or assignment.draft is None or assignment.draft_saved_at == follows:
        return
    if _writer(draft)[0] is not None and _writer(draft)[0] == _writer(assignment.draft)[0]:
        return
    saved_at = assignment.draft_saved_at and assignment.draft_saved_at.isoformat()
    raise OverwritesNewer(
        "this task was worked on elsewhere since; what was saved there is in `newer`",
        newer={"draft": assignment.draft, "draft_saved_at": saved_at},
    )


def _writer(draft: dict[str, Any] | None) -> tuple[str | None, int]:
    by = (draft or {}).get("_by")
    if not isinstance(by, dict) or not isinstance(by.get("browser"), str) or not isinstance(by.get("seq"), int):
        return None, 0
    return by["browser"], by["seq"]
