"""How far the answers to one task differ: the share of pairs, over all pairs of people, that they order differently.

A tie against an order counts half. The number is kept with the task, so that those that differ most are found at once.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Collection, Sequence

from annotate.models import Protocol, Ranking, Task
from rlhf.learning.stats.agreement import order_share

RANKED = (Protocol.Kind.RANK, Protocol.Kind.COMPARE)


def note(*, task_ids: Collection[int]) -> None:
    """Store the disagreement of these tasks as it is now. Call it in the transaction that changed their answers.

    The tasks are locked first: of two people who answer at once, the second reads what the first has written.
    """
    list(Task.objects.select_for_update(no_key=True).filter(pk__in=task_ids).order_by("pk").values_list("pk"))
    given: dict[int, list[list[int]]] = defaultdict(list)
    answers = Ranking.objects.filter(task__in=task_ids, counts=True, is_adjudication=False)
    for task_id, ranks in answers.values_list("task_id", "ranks"):
        given[task_id].append(ranks)
    for task_id in task_ids:
        Task.objects.filter(pk=task_id).update(disagreement=disagreement(given[task_id]))


def disagreement(answers: Sequence[Sequence[int]]) -> float | None:
    """In [0, 1]; None for fewer than two answers."""
    pairs = list(itertools.combinations(answers, 2))
    return sum(1 - order_share(first, second) for first, second in pairs) / len(pairs) if pairs else None
