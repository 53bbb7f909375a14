"""Simulated labelers that work through the decision modules: careful, random, always-left and too fast.

The texts carry their own quality, as "... quality 3 ...", which a careful person reads with a little noise.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from datetime import datetime, timedelta

from annotate import assignment as assignments
from annotate import protocols, qualifications, submissions
from annotate.models import Assignment, LabelerProfile, Protocol, Task, TaskCompletion
from rlhf.access import Access
from rlhf.models import Completion, Project
from tests.annotate import rows

KEYS = "abcdefghi"
CAREFUL_S, FAST_S = 25.0, 1.0
NOISE = 0.45  # of a careful person's view of a quality; two neighbours are 1 apart
Rank = Callable[[random.Random, list[int]], list[int]]


def careful(draw: random.Random, qualities: list[int]) -> list[int]:
    seen = [quality + draw.gauss(0, NOISE) for quality in qualities]
    return ranked(seen)


def at_random(draw: random.Random, qualities: list[int]) -> list[int]:
    return ranked([draw.random() for _ in qualities])


def always_left(draw: random.Random, qualities: list[int]) -> list[int]:
    return list(range(1, len(qualities) + 1))


def ranked(values: list[float]) -> list[int]:
    order = sorted(values, reverse=True)
    return [order.index(value) + 1 for value in values]


KINDS: dict[str, tuple[Rank, float]] = {
    "careful": (careful, CAREFUL_S),
    "random": (at_random, CAREFUL_S),
    "left": (always_left, CAREFUL_S),
    "fast": (careful, FAST_S),
}


class Crowd:
    """People of several kinds, each with a clock and a draw of their own."""

    def __init__(self, *, project: Project, seed: int, kinds: list[str]) -> None:
        self.people = {
            f"{kind} {number}": rows.member(project=project, name=f"{kind} {number}")
            for number, kind in enumerate(kinds)
        }
        self.draw = {name: random.Random(f"{seed} {name}") for name in self.people}
        self.now = dict.fromkeys(self.people, rows.NOW)
        self.num_answers = dict.fromkeys(self.people, 0)
        self.paused_after: dict[str, int] = {}

    def work(self, *, rounds: int) -> None:
        for _ in range(rounds):
            for name in [name for name in self.people if name not in self.paused_after]:
                self._answer(name)

    def _answer(self, name: str) -> None:
        who, (rank, seconds) = self.people[name], KINDS[name.split()[0]]
        try:
            held = assignments.next_task(access=who, now=self.now[name])
        except qualifications.Paused:
            self.paused_after[name] = self.num_answers[name]
            return
        assert held is not None, f"no task left for {name}"
        self.now[name] += timedelta(seconds=seconds * self.draw[name].uniform(0.7, 1.3))
        ranks = rank(self.draw[name], qualities(held))
        answer(who=who, held=held, ranks=ranks, now=self.now[name], active_s=300.0)  # what a page says is no proof
        self.num_answers[name] += 1

    def is_paused(self, name: str) -> bool:
        return LabelerProfile.objects.filter(labeler=self.people[name].user, paused_at__isnull=False).exists()

    def reason(self, name: str) -> str:
        return LabelerProfile.objects.get(labeler=self.people[name].user).pause_reason


def answer(*, who: Access, held: Assignment, ranks: list[int], now: datetime, active_s: float = 30.0) -> None:
    """`ranks` in the order on screen."""
    given = submissions.Answer(
        submission_id=rows.new_id(), ranks=dict(zip(KEYS, ranks, strict=False)), active_s=active_s
    )
    submissions.submit(access=who, assignment_id=held.pk, answer=given, now=now)


def give(who: Access, wanted: list[int]) -> Assignment:
    """Answer the next task, with ranks in the order of the task, whatever the order on screen."""
    held = assignments.next_task(access=who, now=rows.NOW)
    assert held is not None
    in_task = list(held.task.task_completions.order_by("index").values_list("completion_id", flat=True))
    rank_of = dict(zip(in_task, wanted, strict=True))
    answer(who=who, held=held, ranks=[rank_of[pk] for pk in held.order_shown], now=rows.NOW)
    return held


def qualities(held: Assignment) -> list[int]:
    """Of the texts, in the order on screen."""
    texts = Completion.objects.in_bulk(held.order_shown)
    return [quality(texts[pk].text) for pk in held.order_shown]


def quality(text: str) -> int:
    found = re.search(r"quality (\d+)", text)
    assert found is not None
    return int(found[1])


def open_tasks(
    *, project: Project, num: int, num_gold: int, size: int = 4, overlap: int = 3, gold_percent: int = 20,
    seed: int = 0,
) -> list[Task]:  # fmt: skip
    """Work and gold tasks to rank `size` texts whose qualities are 1 to size."""
    kind = Protocol.Kind.RANK
    protocols.revise(
        protocol=protocols.protocol(project=project, kind=kind), gold_percent=gold_percent, num_completions=size
    )
    draw = random.Random(seed)
    model = rows.version(project=project)
    made = []
    for index, prompt in enumerate(rows.prompts(project=project, num=num + num_gold)):
        order = draw.sample(range(1, size + 1), size)
        texts = [f"{index}: an answer of quality {place}. " + "Some words to read. " * 12 for place in order]
        task = rows.task(project=project, kind=kind, prompt=prompt, overlap=overlap)
        shown = rows.completions(prompt=prompt, version=model, texts=texts)
        TaskCompletion.objects.bulk_create(
            TaskCompletion(task=task, completion=completion, index=place) for place, completion in enumerate(shown)
        )
        if index >= num:
            Task.objects.filter(pk=task.pk).update(
                purpose=Task.Purpose.GOLD, expected={"ranks": ranked(list(map(float, order)))}, overlap=10_000
            )
        made.append(task)
    return made
