"""How far to believe the verdict: who judged it, on how much, how often judges agree with people, and what warns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rlhf.charts import KINDS
from rlhf.figures import COUNT, PERCENT, TEXT, Column, Figure, shown
from rlhf.overview.document import Document, Piece
from rlhf.overview.links import Links

JUDGES = (
    Column("judge", "Judge", is_heading=True),
    Column("flags", "Flags", TEXT),
    Column("win_rate", "Win rate", PERCENT, is_link=True),
    Column("low", "Low", PERCENT),
    Column("high", "High", PERCENT),
    Column("num_prompts", "Prompts", COUNT),
    Column("unsettled_share", "Unsettled", PERCENT),
    Column("calibrated", "Calibrated by people", PERCENT),
    Column("calibrated_low", "Low", PERCENT),
    Column("calibrated_high", "High", PERCENT),
    Column("num_human", "People judged", COUNT),
    Column("kind", "Kind"),
)


@dataclass(frozen=True)
class Fact:
    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Alarm:
    level: str  # red or amber
    sentence: str
    href: str


def facts(document: Document, cell: Piece) -> list[Fact]:
    """The few numbers beside the verdict sentence."""
    prompts = "Held-out prompts" if cell["split"] == "held_out" else "Prompts"
    found = [Fact(prompts, str(cell["num_prompts"]), f"{cell['num_verdicts']} verdicts")]
    found += [*_unsettled(document, cell), *_agreement(document, cell)]
    if ceiling := document.content.get("ceiling"):
        note = f"{shown(ceiling['low'], PERCENT)} to {shown(ceiling['high'], PERCENT)}: no judge can be asked for more"
        found.append(Fact("People with each other", shown(ceiling["agreement"], PERCENT), note))
    if (alpha := document.content.get("raters")) and alpha["alpha"] is not None:
        found.append(
            Fact("Krippendorff's alpha", shown(alpha["alpha"], "number"), f"over {alpha['num_units']} prompts")
        )
    if (gap := _length_gap(document, cell)) is not None:
        old = document.versions[cell["baseline"]]["name"]
        way = "longer" if gap > 0 else "shorter"
        found.append(Fact("Length", f"{shown(gap, 'points')}\N{NO-BREAK SPACE}%", f"{way} than {old}'s answers"))
    return found


def _unsettled(document: Document, cell: Piece) -> list[Fact]:
    """Of the first judge of these two that saw pairs in both orders; who saw one order can't be unsettled."""
    for one in document.cells_of_pair[cell["candidate"], cell["baseline"]]:
        judge = document.judges[one["judge"]]
        if document.of_judge("positions", one["judge"]) and one["num_prompts"]:
            share = shown(one["unsettled"] / one["num_prompts"], PERCENT)
            return [Fact("Unsettled", share, f"{judge['name']} names another winner in the other order")]
    return []


def _agreement(document: Document, cell: Piece) -> list[Fact]:
    """Of each machine judge of these two with people; the ceiling stands beside it."""
    found = []
    for one in document.cells_of_pair[cell["candidate"], cell["baseline"]]:
        if row := document.of_judge("agreement", one["judge"]):
            note = f"{shown(row['low'], PERCENT)} to {shown(row['high'], PERCENT)}, {row['num_pairs']} pairs"
            label = f"{document.judges[one['judge']]['name']} with people"
            found.append(Fact(label, shown(row["agreement"], PERCENT), note))
    return found


def judges(document: Document, links: Links, evaluation: Piece) -> Figure:
    cells = document.cells_of_pair.get((evaluation["candidate"], evaluation["baseline"]), [])
    names = " over ".join(document.versions[evaluation[side]]["name"] for side in ("candidate", "baseline"))
    return Figure(
        key="judges",
        title=f"Judges of {names}",
        conclusion=(
            "Each judge's own win rate; beside it the one calibrated by people's verdicts (PPI++). That holds where "
            "the prompts that people judged are a random part of the judge's."
        ),
        columns=JUDGES,
        rows=[_judge(document, links, cell) for cell in cells],
        needs="No judge has compared these two versions.",
        csv_url=links.csv(figure="judges", evaluation=evaluation["evaluation"]),
        is_chart=False,
    )


def alarms(document: Document, links: Links) -> list[Alarm]:
    """Red first. Each leads to the pairs of the judge that was not trained on."""
    found = sorted(document.pieces("alarms"), key=lambda row: (row["level"] != "red", -row["evaluation"]))
    return [
        Alarm(
            row["level"],
            row["sentence"],
            links.pairs(evaluation=row["evaluation"], judge=row["judge"], split=document.split),
        )
        for row in found
    ]


def flags(document: Document, cell: Piece) -> list[str]:
    judge, candidate = document.judges[cell["judge"]], document.versions[cell["candidate"]]
    baseline = document.versions[cell["baseline"]]
    both = (candidate, baseline)
    trained = [row["name"] for row in both if document.was_training_reward(judge["id"], row["id"])]
    kin = [row["name"] for row in both if judge.get("family") and judge["family"] == row.get("family")]
    said = [f"reward that {' and '.join(trained)} was trained on"] if trained else []
    return said + ([f"same family as {' and '.join(kin)}"] if kin else [])


def _judge(document: Document, links: Links, cell: Piece) -> dict[str, Any]:
    judge = document.judges[cell["judge"]]
    calibrated = next(iter(document.of_evaluation("calibrated", cell["evaluation"], judge["id"])), {})
    prompts = cell["num_prompts"]
    return {
        "judge": judge["name"],
        "kind": KINDS.get(judge["kind"], judge["kind"]),
        **{name: cell[name] for name in ("win_rate", "low", "high", "num_prompts")},
        "unsettled_share": cell["unsettled"] / prompts if prompts else None,
        "calibrated": calibrated.get("win_rate"),
        "calibrated_low": calibrated.get("low"),
        "calibrated_high": calibrated.get("high"),
        "num_human": calibrated.get("num_human"),
        "flags": "; ".join(flags(document, cell)),
        "href": links.cell(cell),
    }


def _length_gap(document: Document, cell: Piece) -> float | None:
    """Share by which the candidate's answers are longer than the baseline's, on average."""
    new, old = (document.versions[cell[side]].get("mean_characters") for side in ("candidate", "baseline"))
    return new / old - 1 if new and old else None
