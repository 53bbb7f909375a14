"""Judges against people: what a judge's probabilities are worth, and whom it names where people name another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rlhf.figures import COUNT, PERCENT, Column, Figure, shown
from rlhf.overview.document import Document, Piece
from rlhf.overview.links import Links

OUTCOMES = ("win", "tie", "loss")
BINS = (
    Column("judge", "Judge", is_heading=True),
    Column("mean", "Says of the likelier side", PERCENT),
    Column("rate", "People agree", PERCENT, is_link=True),
    Column("low", "Low", PERCENT),
    Column("high", "High", PERCENT),
    Column("num", "Pairs", COUNT),
)
CONFUSION = (
    Column("judge", "Judge", is_heading=True),
    Column("people", "People say"),
    Column("says", "Judge says"),
    Column("num", "Prompts", COUNT, is_link=True),
)
NEEDS = "needs prompts that people and another judge have both judged: open a compare task for the held-out prompts."


def reliability(document: Document, links: Links) -> Figure:
    found = [row for row in _machines(document) if row.get("bins")]
    rows = [made for row in found for made in _bins(document, links, row)]
    parts = [
        f"{document.judges[row['judge']]['name']} is off by {shown(row['ece'], 'fine')} on average "
        f"(Brier {row['brier']:.3f})"
        for row in found
        if row.get("ece") is not None and row.get("brier") is not None
    ]
    return Figure(
        key="reliability",
        title="Are a judge's probabilities right?",
        conclusion=f"{'; '.join(parts)}. On the dashed line people agree as often as the judge says.",
        columns=BINS,
        rows=rows,
        options={"judges": [document.judges[row["judge"]]["name"] for row in found]},
        needs="The reliability diagram " + NEEDS + " The judge must give probabilities.",
        csv_url=links.csv(figure="reliability"),
    )


def confusion(document: Document, links: Links) -> Figure:
    found = [row for row in _machines(document) if row.get("confusion")]
    rows = [made for row in found for made in _confused(document, links, row)]
    parts = [
        f"{document.judges[row['judge']]['name']} agrees with people on {shown(row['agreement'], PERCENT)} of "
        f"{row['num_pairs']} pairs" + (f" (kappa {row['kappa']:.2f})" if row.get("kappa") is not None else "")
        for row in found
    ]
    ceiling = document.content.get("ceiling")
    with_each_other = f" People agree with each other on {shown(ceiling['agreement'], PERCENT)}." if ceiling else ""
    return Figure(
        key="confusion",
        title="Where judges and people part",
        conclusion=f"{'; '.join(parts)}.{with_each_other}",
        columns=CONFUSION,
        rows=rows,
        options={"judges": [document.judges[row["judge"]]["name"] for row in found], "outcomes": list(OUTCOMES)},
        needs="The confusion of judges and people " + NEEDS,
        csv_url=links.csv(figure="confusion"),
    )


def _machines(document: Document) -> list[Piece]:
    """The agreement of the newest judge of each kind."""
    found = (document.of_judge("agreement", judge["id"]) for judge in document.latest_judges)
    return [row for row in found if row is not None]


def _bins(document: Document, links: Links, row: Piece) -> Iterator[dict[str, Any]]:
    name, href = document.judges[row["judge"]]["name"], _pairs_of(document, links, row["judge"])
    for one in row["bins"]:
        if one["num"]:
            numbers = {key: one[key] for key in ("mean", "rate", "low", "high", "num")}
            yield {"judge": name, **numbers, "href": href}


def _confused(document: Document, links: Links, row: Piece) -> Iterator[dict[str, Any]]:
    name, href = document.judges[row["judge"]]["name"], _pairs_of(document, links, row["judge"])
    for people, counts in zip(OUTCOMES, row["confusion"], strict=True):
        for says, num in zip(OUTCOMES, counts, strict=True):
            yield {"judge": name, "people": people, "says": says, "num": num, "href": href}


def _pairs_of(document: Document, links: Links, judge: int) -> str:
    """The newest evaluation of that judge: agreement is over all of them, the list is of one."""
    cells = [cell for (_, _, by), cell in document.cells.items() if by == judge]
    newest = max(cells, key=lambda cell: cell["evaluation"], default=None)
    return links.cell(newest) if newest else ""
