"""Judges against people, and against themselves: how often they agree, and what their probabilities are worth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rlhf.figures import COUNT, NUMBER, PERCENT, TEXT, Column, Figure, shown
from rlhf.overview.document import Document, Piece
from rlhf.overview.links import Links

OUTCOMES = ("win", "tie", "loss")
AGREEMENT = (
    Column("judge", "Judge", is_heading=True),
    Column("agreement", "Agrees with people", PERCENT, is_link=True),
    Column("low", "Low", PERCENT),
    Column("high", "High", PERCENT),
    Column("kappa", "Kappa", NUMBER),
    Column("kappa_low", "Low", NUMBER),
    Column("kappa_high", "High", NUMBER),
    Column("num_pairs", "Pairs", COUNT),
    Column("ceiling", "People with each other", PERCENT),
    Column("position", "Order of the answers", TEXT),
)
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


def table(document: Document, links: Links) -> Figure:
    """Every judge on the pairs that people judged too."""
    ceiling = (document.content.get("ceiling") or {}).get("agreement")
    rows = []
    for judge in document.judges.values():
        found = document.of_judge("agreement", judge["id"])
        said = position(document, judge)
        if found is None and not said:
            continue
        numbers = {column.key: (found or {}).get(column.key) for column in AGREEMENT[1:-2]}
        beside = {"ceiling": ceiling if found else None, "position": said}
        rows.append({"judge": judge["name"], **numbers, **beside, "href": _pairs_of(document, links, judge["id"])})
    return Figure(
        key="agreement",
        title="How often judges agree with people",
        conclusion="Kappa is what is left of it after chance; people with each other are as far as a judge can come.",
        columns=AGREEMENT,
        rows=rows,
        needs="How often judges agree with people " + NEEDS,
        csv_url=links.csv(figure="agreement"),
        is_chart=False,
    )


def position(document: Document, judge: Piece) -> str:
    """Whether the order in which the answers stand decides, in words."""
    found = document.of_judge("positions", judge["id"])
    if found is None:
        return "" if judge["kind"] == "people" else "scores each answer alone" if not judge["both_orders"] else ""
    leaning = "first" if found["num_first"] > found["num_second"] else "second"
    same = f"same winner in both orders: {shown(found['consistency'], PERCENT)}"
    if found["p"] is not None and found["p"] < 0.05:
        return f"{same}; leans to the {leaning} answer (p {shown(found['p'], 'probability')})"
    return f"{same}; no lean found"


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
