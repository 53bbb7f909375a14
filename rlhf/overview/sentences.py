"""The first sentence of the overview: who won, said only where a judge that the training did not see has settled it."""

from __future__ import annotations

from dataclasses import dataclass

from rlhf.figures import PERCENT, shown
from rlhf.overview.document import Document, Piece

FEW_PROMPTS = 30  # below this an interval is a guess, and the sentence says so
HOPELESS = 20_000  # prompts; nobody will collect so many to tell two versions apart
BETTER, WORSE, OPEN = "better", "worse", "open"


@dataclass(frozen=True)
class Verdict:
    text: str
    details: tuple[str, ...]
    tone: str  # BETTER, WORSE or OPEN
    cell: Piece | None = None  # whose pairs the sentence stands on


def verdict(document: Document) -> Verdict:
    """What may be said of the newest version against the one before it; it refuses, in words, rather than guess."""
    if len(document.numbered) < 2:
        return Verdict(
            "No two versions have been compared yet.", ("The first comparison follows the first round.",), OPEN
        )
    newest = document.numbered[-1]
    compared = next((old for candidate, old in document.chain if candidate is newest), None)
    if compared is None:
        text = f"Nothing is known of {newest['name']}: it has not been compared with any version before it."
        return Verdict(text, tuple(_ranking(document, None)), OPEN)
    cells = document.cells_of_pair[newest["id"], compared["id"]]
    independent = document.independent(cells)
    pair = newest["name"], compared["name"]
    if not independent:
        return _only_the_reward(document, cells, pair)
    cell = independent[0]
    text, tone = _claim(document, cell, pair)
    details = [
        _numbers(document, cell),
        *_corrected(document, cell),
        *_warnings(document, cell, cells),
        *_ranking(document, cell["judge"]),
    ]
    return Verdict(text, tuple(details), tone, cell)


def _only_the_reward(document: Document, cells: list[Piece], pair: tuple[str, str]) -> Verdict:
    names = ", ".join(document.judges[cell["judge"]]["name"] for cell in cells)
    text = f"It is not settled whether {pair[0]} is better than {pair[1]}."
    detail = (
        f"Only the reward that it was trained on has judged ({names}); expected a judge that the training did not see."
    )
    return Verdict(text, (detail,), OPEN, cells[0])


def _claim(document: Document, cell: Piece, pair: tuple[str, str]) -> tuple[str, str]:
    candidate, baseline = pair
    link = chain_link(document, cell)
    tone = link["verdict"] if link else _by_interval(cell)
    if tone in (BETTER, WORSE):
        return f"{candidate} is {tone} than {baseline}.", tone
    if link and _by_interval(cell) != OPEN:
        return f"{candidate} looks {_by_interval(cell)} than {baseline}, but that is not settled.", OPEN
    more = (cell.get("needed") or 0) - cell["num_prompts"]
    if 0 < more <= HOPELESS:
        return f"Not enough prompts to tell {candidate} from {baseline}: about {_round(more)} more.", OPEN
    return f"{candidate} and {baseline} can't be told apart.", OPEN


def chain_link(document: Document, cell: Piece) -> Piece | None:
    return next(iter(document.of_evaluation("chain", cell["evaluation"], cell["judge"])), None)


def _by_interval(cell: Piece) -> str:
    return BETTER if cell["low"] > 0.5 else WORSE if cell["high"] < 0.5 else OPEN


def _round(count: int) -> int:
    """Two digits: a plan is no more exact than that."""
    step = 10 ** max(0, len(str(count)) - 2)
    return -(-count // step) * step


def _numbers(document: Document, cell: Piece) -> str:
    judge = document.judges[cell["judge"]]
    who = "People prefer" if judge["kind"] == "people" else f"{judge['name'][:1].upper()}{judge['name'][1:]} prefers"
    prompts = "held-out prompts" if cell["split"] == "held_out" else "prompts"
    interval = f"95\N{NO-BREAK SPACE}% interval {shown(cell['low'], PERCENT)} to {shown(cell['high'], PERCENT)}"
    return f"{who} it on {shown(cell['win_rate'], PERCENT)} of {cell['num_prompts']} {prompts} ({interval})."


def _corrected(document: Document, cell: Piece) -> list[str]:
    """Why an interval on one side of even is not enough: among many steps one looks better by chance."""
    link = chain_link(document, cell)
    if link is None or link["verdict"] != OPEN or _by_interval(cell) == OPEN:
        return []
    looks = sum(row["judge"] == cell["judge"] for row in document.pieces("chain"))
    p, p_holm = (shown(link[name], "probability") for name in ("p", "p_holm"))
    return [f"p is {p} alone, and {p_holm} by Holm's correction over {looks} {'step' if looks == 1 else 'steps'}."]


def _warnings(document: Document, cell: Piece, cells: list[Piece]) -> list[str]:
    warnings = []
    if cell["num_prompts"] < FEW_PROMPTS:
        warnings.append(f"Expected at least {FEW_PROMPTS} prompts, so read it with care.")
    for other in cells:
        ahead = document.was_training_reward(other["judge"], other["candidate"]) and other["low"] > 0.5
        name, rate = document.judges[other["judge"]]["name"], shown(other["win_rate"], PERCENT)
        if ahead and other["low"] > cell["high"]:
            warnings.append(f"Its training reward ({name}) says {rate}: the reward runs ahead of what it stands for.")
        elif ahead and cell["low"] <= 0.5:
            warnings.append(f"Its training reward ({name}) says {rate}, which is not confirmed.")
    return warnings


def _ranking(document: Document, judge: int | None) -> list[str]:
    """What the ranking of all versions refuses to say, or the ranks of the newest one."""
    rankings = [row for row in document.pieces("rankings") if judge in (None, row["judge"])]
    return [sentence for row in rankings for sentence in ranking_sentences(document, row)]


def ranking_sentences(document: Document, ranking: Piece) -> list[str]:
    judge = document.judges[ranking["judge"]]["name"]
    reason = (ranking.get("reason") or "").rstrip(".")
    said = [REFUSALS[ranking["state"]].format(judge=judge, reason=reason)] if ranking["state"] in REFUSALS else []
    if ranking.get("cycle"):
        names = [document.versions[pk]["name"] for pk in ranking["cycle"]]
        around = " beats ".join([*names, names[0]])
        said.append(f"By {judge}, {around}: they go round in a circle, so no order of them is right.")
    return said


REFUSALS = {
    "disconnected": "No ranking by {judge}: the versions are not connected by comparisons ({reason}).",
    "sweep": "No ranking by {judge}: one side has won everything, so how far apart they are is unknown ({reason}).",
    "too_few": "No ranking by {judge}: there are too few comparisons ({reason}).",
}
