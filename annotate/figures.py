"""The numbers on the quality pages, from the newest answers only: a page reads at most NEWEST rows, and says so.

All of it is numpy over these rows, so it is made while the page is: no run has to be asked for it.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from annotate import evidence
from annotate.evidence import Ranks
from annotate.gold import RIGHT_FROM
from annotate.models import Assignment, Ranking, Submission, Task
from annotate.signals import Answered
from rlhf.learning.stats.agreement import (
    Agreement,
    Pair,
    kendall_tau_b,
    krippendorff_alpha,
    order_share,
    percent,
    wilson,
)
from rlhf.models import Project

NEWEST = 2_000  # answers of a project
NEWEST_OF_ONE = 500  # answers of one person
COUNTED = (Assignment.State.SUBMITTED, Assignment.State.ADJUDICATED)
Row = dict[str, Any]


@dataclass(frozen=True)
class Share:
    num: int
    of: int
    low: float | None = None
    high: float | None = None

    @property
    def value(self) -> float | None:
        return self.num / self.of if self.of else None


@dataclass(frozen=True)
class Place:
    """The place on screen where a person's best answer stood most often, and how likely that is by chance alone."""

    place: int  # from 1
    num: int
    of: int
    num_shown: int
    chance: float  # exact binomial, for the most frequent of all places


@dataclass(frozen=True)
class Person:
    num_answers: int
    gold: Share
    agreement: Agreement
    tau: Agreement
    place: Place | None
    median_s: float | None
    too_fast: Share


@dataclass(frozen=True)
class Whole:
    """How far the people of a project agree with each other."""

    percent: Agreement
    tau: Agreement
    alpha_pairs: Agreement  # nominal: first, second or tie
    alpha_ranks: Agreement  # ordinal, of more than two completions
    num_answers: int


def of_people(*, project: Project) -> tuple[Whole, dict[int, Person]]:
    """The project as a whole, and each of its people by user id."""
    found = Submission.objects.filter(project=project).exclude(assignment__task__purpose=Task.Purpose.QUALIFICATION)
    rows = evidence.read(found=found, limit=NEWEST)
    said = _said(rows)
    by_person: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        by_person[row["labeler_id"]].append(row)
    people = {labeler: person(answers(theirs, said)) for labeler, theirs in by_person.items()}
    return _whole(said, len(rows)), people


def of_one(*, project: Project, labeler_id: int) -> tuple[Person, list[Answered]]:
    """One person, and the newest answers behind the numbers."""
    found = Submission.objects.filter(project=project, labeler=labeler_id)
    rows = evidence.read(found=found.exclude(assignment__task__purpose=Task.Purpose.QUALIFICATION), limit=NEWEST_OF_ONE)
    others = Ranking.objects.filter(task__in={row["task_id"] for row in rows}, counts=True)
    said: dict[int, dict[int, Ranks]] = defaultdict(dict)
    for task_id, other, ranks in others.values_list("task_id", "submission__labeler", "ranks"):
        said[task_id][other] = tuple(ranks)
    found_answers = answers(rows, said)
    return person(found_answers), found_answers


def answers(rows: Sequence[Row], said: Mapping[int, Mapping[int, Ranks]]) -> list[Answered]:
    """One person's answers beside those of everybody else."""
    theirs = {
        row["task_id"]: [ranks for who, ranks in said.get(row["task_id"], {}).items() if who != row["labeler_id"]]
        for row in rows
    }
    return evidence.answered(rows=rows, theirs=theirs)


def person(found: Sequence[Answered]) -> Person:
    golds = [answer.gold_score >= RIGHT_FROM for answer in found if answer.gold_score is not None]
    pairs = [[(answer.ranks, other) for other in answer.others] for answer in found if answer.others]
    timed = [answer for answer in found if answer.seconds is not None]
    return Person(
        num_answers=len(found),
        gold=share(golds),
        agreement=percent(pairs),
        tau=kendall_tau_b(pairs),
        place=_place(found),
        median_s=median(answer.seconds for answer in timed if answer.seconds is not None) if timed else None,
        too_fast=share([answer.is_too_fast for answer in timed]),
    )


def share(found: Sequence[bool]) -> Share:
    num = sum(found)
    return Share(num, len(found), *wilson(num / len(found), len(found))) if found else Share(0, 0)


def differs(answer: Answered) -> bool:
    """Whether others ordered a pair the other way round, or as a tie."""
    return any(order_share(answer.ranks, other) < 1 for other in answer.others)


def _place(found: Sequence[Answered]) -> Place | None:
    """Of tasks with the most frequent number of completions."""
    told = [(answer.top_place, len(answer.places)) for answer in found if answer.places]
    sizes = Counter(size for place, size in told if place is not None)
    if not sizes:
        return None
    ((size, total),) = sizes.most_common(1)
    ((place, num),) = Counter(place for place, shown in told if shown == size and place is not None).most_common(1)
    return Place(place + 1, num, total, size, min(1.0, size * _at_least(num, total, 1 / size)))


def _at_least(num: int, total: int, chance: float) -> float:
    """P(X >= num) of a binomial, exactly; through logarithms, for binomial coefficients outgrow a float."""
    return math.fsum(math.exp(_log_chance(hits, total, chance)) for hits in range(num, total + 1))


def _log_chance(hits: int, total: int, chance: float) -> float:
    choices = math.lgamma(total + 1) - math.lgamma(hits + 1) - math.lgamma(total - hits + 1)
    return choices + hits * math.log(chance) + (total - hits) * math.log1p(-chance)


def _said(rows: Iterable[Row]) -> dict[int, dict[int, Ranks]]:
    """The ranks that count, by task and person."""
    said: dict[int, dict[int, Ranks]] = defaultdict(dict)
    for row in rows:
        if row["ranks"] and row["state"] in COUNTED and row["purpose"] == Task.Purpose.WORK:
            said[row["task_id"]][row["labeler_id"]] = tuple(row["ranks"])
    return said


def _whole(said: Mapping[int, Mapping[int, Ranks]], num_answers: int) -> Whole:
    tasks = [list(given.values()) for given in said.values() if len(given) > 1]
    pairs: list[list[Pair]] = [list(itertools.combinations(given, 2)) for given in tasks]
    return Whole(percent(pairs), kendall_tau_b(pairs), _alpha_pairs(tasks), _alpha_ranks(tasks), num_answers)


def _alpha_pairs(tasks: Sequence[Sequence[Ranks]]) -> Agreement:
    compared = [given for given in tasks if len(given[0]) == 2]
    counts = np.zeros((len(compared), 3))
    for unit, given in enumerate(compared):
        for first, second in given:
            counts[unit, (first > second) - (first < second) + 1] += 1
    return krippendorff_alpha(counts, np.arange(len(compared)), level="nominal")


def _alpha_ranks(tasks: Sequence[Sequence[Ranks]]) -> Agreement:
    """A unit is a completion, its values are the ranks that people gave it."""
    ranked = [given for given in tasks if len(given[0]) > 2]
    size = max((len(given[0]) for given in ranked), default=1)
    units = [(task, place) for task, given in enumerate(ranked) for place in range(len(given[0]))]
    counts = np.zeros((len(units), size))
    for unit, (task, place) in enumerate(units):
        for ranks in ranked[task]:
            counts[unit, ranks[place] - 1] += 1
    return krippendorff_alpha(counts, np.array([task for task, _ in units], dtype=int), level="ordinal")
