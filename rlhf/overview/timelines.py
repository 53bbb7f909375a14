"""Win rates of each version against the one before it and against the first, a panel per kind of judge."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rlhf.charts import KINDS
from rlhf.figures import COUNT, FLAG, PERCENT, PROBABILITY, TEXT, Column, Figure, shown
from rlhf.overview.document import Document, Piece
from rlhf.overview.links import Links
from rlhf.overview.sentences import chain_link

BEFORE, FIRST = "the version before", "the first version"
NEEDS = (
    "The timeline needs a comparison of two versions: the first follows the first round, when both have answered the "
    "held-out prompts."
)
COLUMNS = (
    Column("version", "Version", is_heading=True),
    Column("against", "Against"),
    Column("baseline", "Which"),
    Column("judge", "Judge"),
    Column("win_rate", "Win rate", PERCENT, is_link=True),
    Column("low", "Low", PERCENT),
    Column("high", "High", PERCENT),
    Column("wins", "Won", COUNT),
    Column("ties", "Tied", COUNT),
    Column("losses", "Lost", COUNT),
    Column("unsettled", "Unsettled", COUNT),
    Column("num_prompts", "Prompts", COUNT),
    Column("p", "p", PROBABILITY),
    Column("p_holm", "p by Holm", PROBABILITY),
    Column("verdict", "Says", TEXT),
    Column("trained_on_judge", "Trained on this judge", FLAG),
)


def figure(document: Document, links: Links) -> Figure:
    rows = list(_rows(document, links))
    kinds = [kind for kind in KINDS if any(row["kind"] == kind for row in rows)]
    return Figure(
        key="timeline",
        title="Win rates over the versions",
        conclusion=_conclusion(document, rows),
        columns=COLUMNS,
        rows=rows,
        options={
            "versions": [version["name"] for version in document.numbered],
            "panels": [{"kind": kind, "label": KINDS[kind]} for kind in kinds],
            "against": [BEFORE, FIRST],
        },
        needs=NEEDS,
        csv_url=links.csv(figure="timeline"),
    )


def _rows(document: Document, links: Links) -> Iterator[dict[str, Any]]:
    first = document.numbered[0] if document.numbered else None
    for against, pairs in (
        (BEFORE, document.chain),
        (FIRST, [(version, first) for version in document.numbered[1:] if first]),
    ):
        for candidate, baseline in pairs:
            newest: dict[str, Piece] = {}
            for cell in document.cells_of_pair.get((candidate["id"], baseline["id"]), []):
                newest[document.judges[cell["judge"]]["kind"]] = cell
            yield from (_row(document, links, against, cell) for cell in newest.values())


def _row(document: Document, links: Links, against: str, cell: Piece) -> dict[str, Any]:
    judge = document.judges[cell["judge"]]
    link = chain_link(document, cell) if against == BEFORE else None
    counts = ("win_rate", "low", "high", "wins", "ties", "losses", "unsettled", "num_prompts", "p")
    return {
        "against": against,
        "version": document.versions[cell["candidate"]]["name"],
        "baseline": document.versions[cell["baseline"]]["name"],
        "kind": judge["kind"],
        "judge": judge["name"],
        **{name: cell.get(name) for name in counts},
        "p_holm": link and link["p_holm"],
        "verdict": link and link["verdict"],
        "trained_on_judge": document.was_training_reward(cell["judge"], cell["candidate"]),
        "href": links.cell(cell),
    }


def _conclusion(document: Document, rows: list[dict[str, Any]]) -> str:
    """How many steps each kind of judge calls better, after Holm's correction over its chain."""
    parts = []
    for kind, label in KINDS.items():
        steps = [row for row in rows if row["kind"] == kind and row["against"] == BEFORE]
        if steps:
            better = sum(row["verdict"] == "better" for row in steps)
            last = steps[-1]
            parts.append(
                f"{label[:1].upper()}{label[1:]}: better in {better} of {len(steps)} steps, "
                f"last {last['version']} with {shown(last['win_rate'], PERCENT)}"
            )
    bars = "Bars are 95\N{NO-BREAK SPACE}% intervals clustered by prompt, ties and unsettled prompts count half."
    return f"{'. '.join(parts)}. {bars}"
