"""How far the answers to one task differ: the share of pairs, over all pairs of people, that they order differently.

A tie against an order counts half. The number is kept with the task, so that those that differ most are found at once.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence

from annotate.models import Protocol
from rlhf.learning.stats.agreement import order_share
from rlhf.statements import change, from_json, locked, rows

RANKED = (Protocol.Kind.RANK, Protocol.Kind.COMPARE)
TASK = "SELECT id FROM annotate_task WHERE id = %(task)s"
ANSWERS = "SELECT ranks FROM annotate_ranking WHERE task_id = %(task)s AND counts AND NOT is_adjudication"
STORE = "UPDATE annotate_task SET disagreement = %(disagreement)s WHERE id = %(task)s"


def note(*, task_ids: Collection[int]) -> None:
    """Store the disagreement of these tasks as it is now. Call it in the transaction that changed their answers.

    The tasks are locked first: of two people who answer at once, the second reads what the first has written.
    """
    for task_id in sorted(task_ids):
        rows(locked(TASK, no_key=True), task=task_id)
        answers = [from_json(ranks) for (ranks,) in rows(ANSWERS, task=task_id)]
        change(STORE, task=task_id, disagreement=disagreement(answers))


def disagreement(answers: Sequence[Sequence[int]]) -> float | None:
    """In [0, 1]; None for fewer than two answers."""
    pairs = list(itertools.combinations(answers, 2))
    return sum(1 - order_share(first, second) for first, second in pairs) / len(pairs) if pairs else None
