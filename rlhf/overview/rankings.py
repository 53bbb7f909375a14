"""All versions at once by one judge: the forest plot of Bradley-Terry gaps, and the matrix of every pair."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rlhf.figures import COUNT, NUMBER, PERCENT, Column, Figure
from rlhf.overview.document import Document, Piece
from rlhf.overview.links import Links
from rlhf.overview.sentences import ranking_sentences

FOREST = (
    Column("version", "Version", is_heading=True, is_link=True),
    Column("strength", "Gap to the first", NUMBER),
    Column("low", "Low", NUMBER),
    Column("high", "High", NUMBER),
    Column("comparison_low", "Comparison low", NUMBER),
    Column("comparison_high", "Comparison high", NUMBER),
    Column("rank_low", "Rank from", COUNT),
    Column("rank_high", "to", COUNT),
)
GAPS = (
    Column("candidate", "Version", is_heading=True),
    Column("baseline", "Over"),
    Column("gap", "Gap", NUMBER, is_link=True),
    Column("low", "Low", NUMBER),
    Column("high", "High", NUMBER),
)
MATRIX = (
    Column("version", "Version", is_heading=True),
    Column("opponent", "Over"),
    Column("win_rate", "Win rate", PERCENT, is_link=True),
    Column("low", "Low", PERCENT),
    Column("high", "High", PERCENT),
    Column("num_prompts", "Prompts", COUNT),
    Column("wins", "Won", COUNT),
    Column("ties", "Tied", COUNT),
    Column("losses", "Lost", COUNT),
    Column("unsettled", "Unsettled", COUNT),
)


def forest(document: Document, links: Links, judge: Piece) -> Figure:
    ranking = document.of_judge("rankings", judge["id"])
    is_fitted = ranking is not None and ranking["state"] == "fitted"
    rows = list(_strengths(document, links, ranking)) if ranking and is_fitted else []
    refusal = " ".join(ranking_sentences(document, ranking)) if ranking else ""
    return Figure(
        key="forest",
        title=f"How far apart the versions are, by {judge['name']}",
        conclusion=_apart(document, ranking) if ranking and is_fitted else "",
        columns=FOREST,
        rows=rows,
        options={"versions": [row["version"] for row in rows]},
        needs=refusal or f"The ranking needs comparisons by {judge['name']}: there is none yet.",
        csv_url=links.csv(figure="forest", judge=judge["id"]),
    )


def gaps(document: Document, links: Links, judge: Piece) -> Figure:
    ranking = document.of_judge("rankings", judge["id"])
    rows = [_gap(document, links, judge, gap) for gap in (ranking or {}).get("gaps") or []]
    return Figure(
        key="gaps",
        title=f"Gaps between neighbours, by {judge['name']}",
        conclusion="Gaps are differences of Bradley-Terry strengths (log-odds) with 95 % intervals of their own.",
        columns=GAPS,
        rows=rows,
        csv_url=links.csv(figure="gaps", judge=judge["id"]),
        is_chart=False,
    )


def matrix(document: Document, links: Links, judge: Piece) -> Figure:
    rows = list(_pairs(document, links, judge))
    shown = {row["version"] for row in rows}
    return Figure(
        key="matrix",
        title=f"Every pair, by {judge['name']}",
        conclusion="Win rate of the row over the column, and the number of prompts. Blue: ahead; orange: behind.",
        columns=MATRIX,
        rows=rows,
        options={"versions": [row["name"] for row in document.versions.values() if row["name"] in shown]},
        needs=f"The matrix needs comparisons by {judge['name']}: there is none yet.",
        csv_url=links.csv(figure="matrix", judge=judge["id"]),
    )


def _strengths(document: Document, links: Links, ranking: Piece) -> Iterator[dict[str, Any]]:
    names = ("strength", "low", "high", "comparison_low", "comparison_high", "rank_low", "rank_high")
    of_version = {row["version"]: row for row in ranking["versions"]}
    for pk, version in document.versions.items():
        if pk in of_version:
            row = of_version[pk]
            href = _any_pair(document, links, pk, ranking["judge"])
            yield {"version": version["name"], **{name: row.get(name) for name in names}, "href": href}


def _any_pair(document: Document, links: Links, version: int, judge: int) -> str:
    """A strength comes from every comparison of the version: the link leads to one against the version before."""
    places = {pk: place for place, pk in enumerate(document.versions)}
    mine = [cell for (a, b, by), cell in document.cells.items() if by == judge and version in (a, b)]
    best = max(mine, key=lambda cell: (cell["candidate"] == version, places[cell["baseline"]]), default=None)
    return links.cell(best) if best else ""


def _gap(document: Document, links: Links, judge: Piece, gap: Piece) -> dict[str, Any]:
    cell = document.cells.get((gap["candidate"], gap["baseline"], judge["id"]))
    return {
        "candidate": document.versions[gap["candidate"]]["name"],
        "baseline": document.versions[gap["baseline"]]["name"],
        **{name: gap.get(name) for name in ("gap", "low", "high")},
        "href": links.cell(cell) if cell else "",
    }


def _apart(document: Document, ranking: Piece) -> str:
    """Who can be first, in words; ranks are sets."""
    rows = ranking["versions"]
    top = [document.versions[row["version"]]["name"] for row in rows if row.get("rank_low") == 1]
    if len(top) == 1 and any(row.get("rank_high") == 1 for row in rows):
        first = f"{top[0]} is ahead of all others."
    else:
        first = f"{', '.join(top)} can't be told apart at the top."
    said = " ".join([first, *ranking_sentences(document, ranking)])
    return f"{said} Bars that do not overlap are told apart; a rank is the set of places that the data allow."


def _pairs(document: Document, links: Links, judge: Piece) -> Iterator[dict[str, Any]]:
    for one, version in document.versions.items():
        for other, opponent in document.versions.items():
            cell = document.cells.get((one, other, judge["id"]))
            turned = document.cells.get((other, one, judge["id"])) if cell is None else None
            if cell is not None or turned is not None:
                numbers = _turned(turned) if turned is not None else _straight(cell or {})
                href = links.cell(cell or turned or {})
                yield {"version": version["name"], "opponent": opponent["name"], **numbers, "href": href}


def _straight(cell: Piece) -> dict[str, Any]:
    names = ("win_rate", "low", "high", "num_prompts", "wins", "ties", "losses", "unsettled")
    return {name: cell.get(name) for name in names}


def _turned(cell: Piece) -> dict[str, Any]:
    """The same pair seen from the baseline."""
    return {
        **_straight(cell),
        "win_rate": 1 - cell["win_rate"],
        "low": 1 - cell["high"],
        "high": 1 - cell["low"],
        "wins": cell["losses"],
        "losses": cell["wins"],
    }
