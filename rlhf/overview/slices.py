"""Where a version is better or worse: win rates by category, and how much of a win rate is length and style."""

from __future__ import annotations

from typing import Any

from rlhf.figures import COUNT, FLAG, PERCENT, PROBABILITY, Column, Figure, shown
from rlhf.overview.document import Document, Piece
from rlhf.overview.links import Links

FEWEST = 20  # prompts of a slice that is shown
FEWEST_LONGER = 0.05  # share of prompts with the usually shorter side longer, below which equal length is extrapolated
SLICES = (
    Column("category", "Category", is_heading=True),
    Column("win_rate", "Win rate", PERCENT, is_link=True),
    Column("low", "Low", PERCENT),
    Column("high", "High", PERCENT),
    Column("shrunk", "Shrunk", PERCENT),
    Column("q", "q", PROBABILITY),
    Column("wins", "Won", COUNT),
    Column("ties", "Tied", COUNT),
    Column("losses", "Lost", COUNT),
    Column("unsettled", "Unsettled", COUNT),
    Column("num_prompts", "Prompts", COUNT),
)
CONTROLS = (
    Column("version", "Version", is_heading=True),
    Column("baseline", "Over"),
    Column("raw", "Raw", PERCENT, is_link=True),
    Column("length", "Length-controlled", PERCENT),
    Column("length_low", "Low", PERCENT),
    Column("length_high", "High", PERCENT),
    Column("style", "Style-controlled", PERCENT),
    Column("style_low", "Low", PERCENT),
    Column("style_high", "High", PERCENT),
    Column("length_ratio", "Length to the other's", PERCENT),
    Column("overlap", "Shorter side longer", PERCENT),
    Column("differs", "Differs by over 10 points", FLAG),
)


def by_category(document: Document, links: Links, evaluation: Piece, judge: Piece) -> Figure:
    found = document.of_evaluation("slices", evaluation["evaluation"], judge["id"])
    rows = [_slice(document, links, row) for row in sorted(found, key=lambda row: str(row["category"]))]
    hidden = document.content.get("hidden_slices") or 0
    unseen = (
        f" {hidden} {'slice' if hidden == 1 else 'slices'} of the project with fewer than {FEWEST} prompts are hidden."
    )
    return Figure(
        key="slices",
        title=f"By category: {_pair(document, evaluation)}, by {judge['name']}",
        conclusion=_told(rows) + (unseen if hidden else ""),
        columns=SLICES,
        rows=rows,
        needs=(
            f"Slices need prompts with a category, at least {FEWEST} of each held out, judged by {judge['name']}."
            + (unseen if hidden else "")
        ),
        csv_url=links.csv(figure="slices", evaluation=evaluation["evaluation"], judge=judge["id"]),
    )


def controlled(document: Document, links: Links, judge: Piece) -> Figure:
    rows = []
    for candidate, baseline in document.chain:
        cell = document.cells.get((candidate["id"], baseline["id"], judge["id"]))
        found = document.of_evaluation("controls", cell["evaluation"], judge["id"]) if cell else []
        rows += [_control(document, links, cell, row) for row in found if cell]
    return Figure(
        key="controls",
        title=f"Without length and style, by {judge['name']}",
        conclusion=_explained(rows),
        columns=CONTROLS,
        rows=rows,
        options={"versions": [row["version"] for row in rows]},
        needs=f"Length and style need more prompts judged by {judge['name']}, with answers that differ in length.",
        csv_url=links.csv(figure="controls", judge=judge["id"]),
    )


def _explained(rows: list[dict[str, Any]]) -> str:
    differing = [row["version"] for row in rows if row["differs"]]
    said = "No version's win rate moves by more than 10 points when answers count as equally long."
    if differing:
        names = ", ".join(differing)
        said = f"Raw and length-controlled differ by more than 10 points for {names}: length explains much."
    guessed = [row["version"] for row in rows if row["overlap"] is not None and row["overlap"] < FEWEST_LONGER]
    if guessed:
        said += f" For {', '.join(guessed)} equal length is extrapolated: one side is longer on nearly every prompt."
    return said


def _pair(document: Document, evaluation: Piece) -> str:
    return " over ".join(document.versions[evaluation[side]]["name"] for side in ("candidate", "baseline"))


def _slice(document: Document, links: Links, row: Piece) -> dict[str, Any]:
    names = ("win_rate", "low", "high", "shrunk", "q", "wins", "ties", "losses", "unsettled", "num_prompts")
    href = links.pairs(evaluation=row["evaluation"], judge=row["judge"], split=document.split, category=row["category"])
    text = {} if row["category"] else {"category_text": "no category"}
    return {"category": row["category"], **{name: row.get(name) for name in names}, **text, "href": href}


def _told(rows: list[dict[str, Any]]) -> str:
    settled = [row for row in rows if row["q"] is not None and row["q"] < 0.05]
    if not settled:
        return "No category is told from even, after Benjamini and Hochberg's correction."
    parts = [f"{row['category_text'] if 'category_text' in row else row['category']} {shown(row['win_rate'], PERCENT)}"
             for row in settled]  # fmt: skip
    return f"Told from even, after Benjamini and Hochberg's correction: {', '.join(parts)}."


def _control(document: Document, links: Links, cell: Piece, row: Piece) -> dict[str, Any]:
    made: dict[str, Any] = {
        "version": document.versions[cell["candidate"]]["name"],
        "baseline": document.versions[cell["baseline"]]["name"],
        "raw": row["raw"],
        "raw_low": cell["low"],
        "raw_high": cell["high"],
    }
    for name in ("length", "style"):
        found = row.get(name) or {}
        made |= {name: found.get("win_rate"), f"{name}_low": found.get("low"), f"{name}_high": found.get("high")}
    return {
        **made,
        "length_ratio": row.get("length_ratio"),
        "overlap": row.get("overlap"),
        "differs": bool(row.get("differs")),
        "href": links.cell(cell),
    }
