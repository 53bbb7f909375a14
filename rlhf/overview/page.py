"""The overview of one document: which judge and which comparison it shows is a choice; none changes a number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from rlhf.figures import Figure
from rlhf.overview import agreement, rankings, regressions, slices, timelines, trust
from rlhf.overview.document import Document, Piece
from rlhf.overview.links import Links
from rlhf.overview.sentences import Verdict, verdict


@dataclass(frozen=True)
class Choice:
    """What a page shows of a document: the judge of the ranking, the matrix and the slices, and whose slices."""

    document: Document
    links: Links
    judge: Piece
    evaluation: Piece  # one of its cells
    prompt_texts: Mapping[int, str] = field(default_factory=dict)


FIGURES: dict[str, Callable[[Choice], Figure]] = {
    "judges": lambda chosen: trust.judges(chosen.document, chosen.links, chosen.evaluation),
    "timeline": lambda chosen: timelines.figure(chosen.document, chosen.links),
    "forest": lambda chosen: rankings.forest(chosen.document, chosen.links, chosen.judge),
    "gaps": lambda chosen: rankings.gaps(chosen.document, chosen.links, chosen.judge),
    "matrix": lambda chosen: rankings.matrix(chosen.document, chosen.links, chosen.judge),
    "slices": lambda chosen: slices.by_category(chosen.document, chosen.links, chosen.evaluation, chosen.judge),
    "controls": lambda chosen: slices.controlled(chosen.document, chosen.links, chosen.judge),
    "regressions": lambda chosen: regressions.figure(chosen.document, chosen.links, chosen.prompt_texts),
    "agreement": lambda chosen: agreement.table(chosen.document, chosen.links),
    "reliability": lambda chosen: agreement.reliability(chosen.document, chosen.links),
    "confusion": lambda chosen: agreement.confusion(chosen.document, chosen.links),
}


@dataclass(frozen=True)
class Overview:
    verdict: Verdict
    facts: list[trust.Fact]
    alarms: list[trust.Alarm]
    figures: dict[str, Figure]
    judge: Piece
    judges: list[Piece]
    evaluation: Piece
    evaluations: list[tuple[int, str]]


def choose(
    *,
    document: Document,
    links: Links,
    judge: str = "",
    evaluation: str = "",
    prompt_texts: Mapping[int, str] | None = None,
) -> Choice | None:
    """The choice that was asked for; what the document does not have falls back to the verdict's. None if empty."""
    cell = verdict(document).cell or next(iter(document.cells.values()), None)
    if cell is None:
        return None
    of_evaluation = {str(one["evaluation"]): one for one in document.cells.values()}
    by_judge = {str(one["judge"]): document.judges[one["judge"]] for one in document.cells.values()}
    return Choice(
        document=document,
        links=links,
        judge=by_judge.get(judge, document.judges[cell["judge"]]),
        evaluation=of_evaluation.get(evaluation, cell),
        prompt_texts=prompt_texts or {},
    )


def overview(chosen: Choice) -> Overview:
    document = chosen.document
    said = verdict(document)
    return Overview(
        verdict=said,
        facts=trust.facts(document, said.cell or chosen.evaluation),
        alarms=trust.alarms(document, chosen.links),
        figures={key: build(chosen) for key, build in FIGURES.items()},
        judge=chosen.judge,
        judges=[row for pk, row in document.judges.items() if any(by == pk for _, _, by in document.cells)],
        evaluation=chosen.evaluation,
        evaluations=_evaluations(document),
    )


def _evaluations(document: Document) -> list[tuple[int, str]]:
    """(id, name) of every comparison, the newest versions first."""
    places = {pk: place for place, pk in enumerate(document.versions)}
    pairs = sorted(document.cells_of_pair, key=lambda pair: (places[pair[0]], places[pair[1]]), reverse=True)
    return [
        (
            document.cells_of_pair[pair][0]["evaluation"],
            " over ".join(document.versions[version]["name"] for version in pair),
        )
        for pair in pairs
    ]
