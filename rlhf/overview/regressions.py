"""What broke: prompts on which the version before won and the new one loses, worst first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rlhf.figures import PERCENT, Column, Figure
from rlhf.overview.document import Document, Piece
from rlhf.overview.links import Links

REGRESSIONS = (
    Column("prompt", "Prompt", is_link=True, is_heading=True),
    Column("judge", "Judge"),
    Column("candidate", "Version"),
    Column("baseline", "Loses to"),
    Column("before", "Which won against"),
    Column("score_before", "Score before", PERCENT),
    Column("score_now", "Score now", PERCENT),
)


def figure(document: Document, links: Links, texts: Mapping[int, str]) -> Figure:
    rows = [_row(document, links, row, texts) for row in document.pieces("regressions")]
    newest = rows[0]["candidate"] if rows else ""
    return Figure(
        key="regressions",
        title="Won before, loses now",
        conclusion=f"{len(rows)} {'pair' if len(rows) == 1 else 'pairs'}, the worst first; each leads to its answers.",
        columns=REGRESSIONS,
        rows=rows,
        options={"newest": newest},
        needs="Regressions need two steps in a row, judged by the same judge on the same prompts: none is known.",
        csv_url=links.csv(figure="regressions"),
        is_chart=False,
    )


def _row(document: Document, links: Links, row: Piece, texts: Mapping[int, str]) -> dict[str, Any]:
    names = {side: document.versions[row[side]]["name"] for side in ("candidate", "baseline")}
    before = document.baseline_of(row["before"])
    return {
        "prompt": row["prompt"],
        "prompt_text": texts.get(row["prompt"]) or f"prompt {row['prompt']}",
        "judge": document.judges[row["judge"]]["name"],
        **names,
        "before": before["name"] if before else None,
        "score_before": row["score_before"],
        "score_now": row["score_now"],
        "href": links.pair(evaluation=row["evaluation"], prompt=row["prompt"], judge=row["judge"]),
    }
