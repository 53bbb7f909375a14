"""From a number to the pairs behind it: the list, whose mean is the number, and the same list as CSV."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, render

from rlhf import evaluation_snapshots, pairs
from rlhf.access import READERS, Access, access
from rlhf.csv_files import csv_response
from rlhf.evaluations import visible_verdicts
from rlhf.models import Evaluation, EvaluationSnapshot, Judge, Prompt, Split, Verdict
from rlhf.pairs import Cell, Filters, Unit

PAGE = 50
ANY = "*"  # category
NOW = "now"  # a snapshot: no frozen one, but the verdicts that count at this moment
CSV_COLUMNS = ("prompt_id", "split", "category", "outcome", "score", "num_verdicts", "prompt")
CSV_BATCH = 500  # prompts read at a time


@dataclass(frozen=True)
class Listing:
    """An evaluation as one judge sees it, through the filters of a query."""

    evaluation: Evaluation
    snapshot: EvaluationSnapshot | None  # the one asked for, or the newest
    is_permalink: bool
    verdicts: QuerySet[Verdict]  # that are listed: those of the snapshot, or those that count now
    has_changed: bool  # since the snapshot
    judges: list[Judge]
    judge: Judge | None
    filters: Filters
    has_step_before: bool
    cells: list[Cell]
    all_units: list[Unit]
    units: list[Unit]

    @property
    def cell(self) -> Cell | None:
        """The number that the list is behind, whatever else it is filtered by."""
        wanted = (self.filters.judge, self.filters.split)
        return next((cell for cell in self.cells if (cell.judge, cell.split) == wanted), None)

    @property
    def reproduces(self) -> bool:
        """Whether the pairs of the cell, as they count now, come to the number that was frozen."""
        cell = self.cell
        if cell is None:
            return False
        whole = [unit for unit in self.all_units if self.filters.split in (pairs.ALL, unit.split)]
        return (len(whole), pairs.rate(units=whole)) == (cell.num_prompts, cell.win_rate)


def evaluation(request: HttpRequest, project: str, pk: int) -> HttpResponse:
    here = access(request=request, project=project, roles=READERS)
    found = listing(request, here, pk)
    after = request.GET.get("after", "")
    page = pairs.after(units=found.units, filters=found.filters, cursor=after)[: PAGE + 1]
    prompts = Prompt.objects.in_bulk([unit.prompt_id for unit in page[:PAGE]])
    context = {
        "here": here,
        "project": here.project,
        "listing": found,
        "evaluation": found.evaluation,
        "filters": found.filters,
        "rows": [(unit, prompts[unit.prompt_id]) for unit in page[:PAGE]],
        "rate": pairs.rate(units=found.units),
        "categories": sorted({unit.category for unit in found.all_units}),
        "outcomes": pairs.OUTCOMES,
        "splits": [(pairs.ALL, "all"), *Split.choices],
        "sorts": pairs.SORTS.items(),
        "next": pairs.cursor(unit=page[PAGE - 1]) if len(page) > PAGE else None,
    }
    return render(request, "rlhf/evaluation.html", context)


def pairs_csv(request: HttpRequest, project: str, pk: int) -> HttpResponseBase:
    """The whole list that a query shows, in its order."""
    here = access(request=request, project=project, roles=READERS)
    found = listing(request, here, pk)
    row = found.evaluation
    name = f"{here.project.slug}-{row.candidate.name}-against-{row.baseline.name}-pairs.csv"

    def rows() -> Iterator[tuple[object, ...]]:
        for start in range(0, len(found.units), CSV_BATCH):
            batch = found.units[start : start + CSV_BATCH]
            texts = Prompt.objects.in_bulk([unit.prompt_id for unit in batch])
            for unit in batch:
                text = texts[unit.prompt_id].messages[-1]["content"]
                yield (
                    unit.prompt_id, unit.split, unit.category, unit.outcome, unit.score, unit.num_verdicts, text,
                )  # fmt: skip

    return csv_response(filename=name, columns=CSV_COLUMNS, rows=rows())


def listing(request: HttpRequest, here: Access, pk: int) -> Listing:
    """What the query of a request asks for; what means nothing in it is dropped."""
    row = get_object_or_404(Evaluation.objects.select_related("candidate", "baseline"), project=here.project, pk=pk)
    sha256 = request.GET.get("snapshot", "")
    is_permalink = sha256 not in ("", NOW)
    snapshot = evaluation_snapshots.newest(project=here.project)
    if is_permalink:
        snapshot = evaluation_snapshots.named(project=here.project, sha256=sha256)
    then = None if sha256 == NOW or snapshot is None else pairs.frozen(snapshot=snapshot)
    verdicts = visible_verdicts() if then is None else then
    judges = pairs.judges(evaluation=row, verdicts=verdicts)
    asked = request.GET.get("judge", "")
    is_known = bool(judges) and asked in {"", *(str(one.pk) for one in judges)}
    if then is not None and not is_permalink and not is_known:
        verdicts, then = visible_verdicts(), None  # of a judge, or of two versions, that are in no document yet
        judges = pairs.judges(evaluation=row)
    judge = next((one for one in judges if str(one.pk) == asked), judges[0] if judges else None)
    filters = _filters(request, judge)
    found = pairs.units(evaluation=row, judge=filters.judge, verdicts=verdicts)
    before = pairs.previous_step(evaluation=row)
    lost_since: frozenset[int] = frozenset()
    if filters.only_regressions and before is not None:
        lost_since = pairs.regressions(
            now=found, before=pairs.units(evaluation=before, judge=filters.judge, verdicts=verdicts)
        )
    return Listing(
        evaluation=row,
        snapshot=snapshot,
        is_permalink=is_permalink,
        verdicts=verdicts,
        has_changed=then is not None and pairs.have_changed(evaluation=row, judge=filters.judge, since=then),
        judges=judges,
        judge=judge,
        filters=filters,
        has_step_before=before is not None,
        cells=pairs.cells(evaluation=row, snapshot=snapshot),
        all_units=found,
        units=pairs.listed(units=found, filters=filters, lost_since=lost_since),
    )


def _filters(request: HttpRequest, judge: Judge | None) -> Filters:
    split, outcome, sort = (request.GET.get(name, "") for name in ("split", "outcome", "sort"))
    return Filters(
        judge=judge.pk if judge else 0,
        split=split if split in Split.values else pairs.ALL,
        category=None if (category := request.GET.get("category", ANY)) == ANY else category,
        outcome=outcome if outcome in pairs.OUTCOMES else "",
        only_regressions=request.GET.get("regressions", "") == "1",
        sort=sort if sort in pairs.SORTS else "prompt",
    )
