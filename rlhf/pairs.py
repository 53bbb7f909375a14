"""The pairs behind a number: a row per prompt, of one evaluation and one judge, whose mean is the number, to the bit.

A prompt that was judged more often than once is one pair: its unit score is the mean over orders, raters and
replicates, as in the estimates (`rlhf/learning/stats/units.py`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, QuerySet, Sum

from rlhf.evaluations import NotListed, latest_estimates, verdicts_as_of, visible_verdicts
from rlhf.learning.stats import units as stats
from rlhf.models import Estimate, Evaluation, EvaluationSnapshot, Judge, Verdict
from rlhf.overview.document import read

WON, TIED, LOST, UNSETTLED = "won", "tied", "lost", "unsettled"
OUTCOMES = (WON, TIED, LOST, UNSETTLED)
SORTS: dict[str, str] = {"prompt": "prompt", "worst": "worst first", "best": "best first"}
ALL = "all"  # a split: both together
_COLUMNS = ("prompt_id", "prompt__split", "prompt__category", "score", "rater", "position", "replicate")


@dataclass(frozen=True)
class Unit:
    """What a judge's verdicts on one prompt come to."""

    prompt_id: int
    split: str
    category: str
    score: float  # of the candidate
    is_unsettled: bool  # the two orders name different winners
    num_verdicts: int

    @property
    def outcome(self) -> str:
        if self.is_unsettled:
            return UNSETTLED
        return WON if self.score > 0.5 else LOST if self.score < 0.5 else TIED


@dataclass(frozen=True)
class Filters:
    """What a list shows, and how it is sorted; None and nothing mean everything."""

    judge: int
    split: str = ALL
    category: str | None = None  # "": prompts without one
    outcome: str = ""
    only_regressions: bool = False
    sort: str = "prompt"

    @property
    def is_cell(self) -> bool:
        """Whether the list is the whole of a cell: its mean is then the cell's win rate."""
        return not (self.category is not None or self.outcome or self.only_regressions)


def frozen(*, snapshot: EvaluationSnapshot) -> QuerySet[Verdict] | None:
    """The verdicts that a frozen evaluation is of; None where its snapshot doesn't list them."""
    try:
        return verdicts_as_of(snapshot=snapshot.verdicts)
    except NotListed:
        return None


def have_changed(*, evaluation: Evaluation, judge: int, since: QuerySet[Verdict]) -> bool:
    """Whether other verdicts count now than did then. A verdict never changes: it comes, or is withdrawn."""
    asked = {"evaluation": evaluation, "judge": judge}
    counts = [
        chosen.filter(**asked).order_by().aggregate(num=Count("id"), total=Sum("id"))
        for chosen in (visible_verdicts(), since)
    ]
    return counts[0] != counts[1]


def units(*, evaluation: Evaluation, judge: int, verdicts: QuerySet[Verdict] | None = None) -> list[Unit]:
    """One unit a prompt, in the order of prompts, of the verdicts given (the visible ones)."""
    chosen = visible_verdicts() if verdicts is None else verdicts
    rows: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in chosen.filter(evaluation=evaluation, judge=judge).order_by("prompt_id", "id").values(*_COLUMNS):
        rows[row["prompt_id"]].append(row)
    return [_unit(evaluation.pk, judge, of_prompt) for of_prompt in rows.values()]


def _unit(evaluation: int, judge: int, rows: Sequence[dict[str, Any]]) -> Unit:
    prompt, split = rows[0]["prompt_id"], rows[0]["prompt__split"]
    verdicts = [
        stats.Verdict(
            evaluation, judge, prompt, split, row["score"], row["rater"], row["position"], row["replicate"]
        )
        for row in rows
    ]  # fmt: skip
    score = stats.unit_scores([prompt] * len(rows), [row["score"] for row in rows])[prompt]
    return Unit(prompt, split, rows[0]["prompt__category"], score, bool(stats.unsettled(verdicts)), len(rows))


def listed(*, units: Sequence[Unit], filters: Filters, lost_since: frozenset[int] = frozenset()) -> list[Unit]:
    """The units that a filter leaves, sorted. `lost_since`: the prompts that regressed."""
    found = [
        unit
        for unit in units
        if filters.split in (ALL, unit.split)
        and filters.category in (None, unit.category)
        and filters.outcome in ("", unit.outcome)
        and (not filters.only_regressions or unit.prompt_id in lost_since)
    ]
    return sorted(found, key=_sort_key(filters.sort))


def after(*, units: Sequence[Unit], filters: Filters, cursor: str) -> list[Unit]:
    """Those behind the unit that a cursor names; everything for a cursor that means nothing.

    A cursor says where its unit stood, so that one that has gone since is no hole.
    """
    score, _, prompt = cursor.partition("_")
    try:
        place = _sort_key(filters.sort)(Unit(int(prompt), "", "", float(score), False, 0))
    except ValueError:
        return list(units)
    return [unit for unit in units if _sort_key(filters.sort)(unit) > place]


def cursor(*, unit: Unit) -> str:
    return f"{unit.score!r}_{unit.prompt_id}"


def _sort_key(sort: str) -> Callable[[Unit], tuple[float, int]]:
    sign = {"worst": 1.0, "best": -1.0}.get(sort, 0.0)
    return lambda unit: (sign * unit.score, unit.prompt_id)


def rate(*, units: Sequence[Unit]) -> float | None:
    """The win rate of some units; None of none."""
    return stats.mean_score([unit.score for unit in units]) if units else None


def neighbours(*, units: Sequence[Unit], prompt_id: int) -> tuple[int | None, int | None]:
    """The prompts before and after one, in a list as it is sorted."""
    ids = [unit.prompt_id for unit in units]
    if prompt_id not in ids:
        return None, (ids[0] if ids else None)
    place = ids.index(prompt_id)
    return (ids[place - 1] if place else None), (ids[place + 1] if place + 1 < len(ids) else None)


def previous_step(*, evaluation: Evaluation) -> Evaluation | None:
    """The evaluation one step earlier in the chain: this one's baseline as the candidate, against the version before
    it."""
    number = evaluation.baseline.number
    if number is None or number < 1:
        return None
    earlier = Evaluation.objects.filter(project=evaluation.project_id, candidate=evaluation.baseline_id)
    return earlier.filter(baseline__number=number - 1).select_related("candidate", "baseline").first()


def regressions(*, now: Sequence[Unit], before: Sequence[Unit]) -> frozenset[int]:
    """The prompts that the version before had won on its step, and that the next one loses to it."""
    won = {unit.prompt_id for unit in before if unit.outcome == WON}
    return frozenset(unit.prompt_id for unit in now if unit.outcome == LOST and unit.prompt_id in won)


def judges(*, evaluation: Evaluation, verdicts: QuerySet[Verdict] | None = None) -> list[Judge]:
    """Those who have judged this evaluation: people first, then in the order of their ids."""
    chosen = visible_verdicts() if verdicts is None else verdicts
    ids = chosen.filter(evaluation=evaluation).order_by().values_list("judge", flat=True).distinct()
    found = Judge.objects.filter(pk__in=list(ids)).select_related("version")
    return sorted(found, key=lambda judge: (judge.kind != Judge.Kind.PEOPLE, judge.pk))


@dataclass(frozen=True)
class Cell:
    """A number that was frozen, and how many prompts it is of."""

    judge: int
    judge_name: str
    split: str
    num_prompts: int
    win_rate: float
    low: float
    high: float
    wins: int
    ties: int
    losses: int
    unsettled: int

    @property
    def split_label(self) -> str:
        return self.split.replace("_", " ")


def cells(*, evaluation: Evaluation, snapshot: EvaluationSnapshot | None) -> list[Cell]:
    """The numbers of an evaluation: those of a frozen document, or the newest estimates where there is none yet."""
    if snapshot is None:
        return [_estimated(estimate) for estimate in latest_estimates(evaluation=evaluation)]
    document = read(snapshot=snapshot)
    counts = ("split", "num_prompts", "win_rate", "low", "high", "wins", "ties", "losses", "unsettled")
    return [
        Cell(row["judge"], document.judges[row["judge"]]["name"], **{name: row[name] for name in counts})
        for row in document.pieces("cells")
        if row["evaluation"] == evaluation.pk
    ]


def _estimated(row: Estimate) -> Cell:
    return Cell(
        row.judge_id, row.judge.name, row.split, row.num_prompts, row.win_rate, row.low, row.high, row.wins, row.ties,
        row.losses, row.unsettled,
    )  # fmt: skip
