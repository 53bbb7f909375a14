"""Verdicts made elsewhere, row by row: what a row may hold, ours or AlpacaEval's, and which judge it names."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from typing import Any

from rlhf.models import Verdict
from rlhf.prompts import BadPrompt, NewPrompt, new_prompt, sha256_of
from rlhf.row_files import BadRow, shown, text

MAX_SETTINGS = 4_000  # characters of what a judge declares about itself, as JSON
MAX_NOTE = 4_000
KEYS = frozenset(
    {
        "prompt", "candidate", "candidate_answer", "baseline", "baseline_answer", "judge", "score", "position", "rater",
        "replicate", "category", "note",
    }
)  # fmt: skip
ALPACA_EVAL = {
    "instruction": "prompt", "dataset": "category", "candidate": "candidate", "candidate_output": "candidate_answer",
    "baseline": "baseline", "baseline_output": "baseline_answer",
}  # fmt: skip


@dataclass(frozen=True)
class JudgeElsewhere:
    """A name and what was declared about the judge (model, template, parameters), as canonical JSON."""

    name: str
    settings: str = "{}"


@dataclass(frozen=True)
class VerdictRow:
    prompt: NewPrompt
    prompt_sha256: str
    candidate: str
    candidate_answer: str
    baseline: str
    baseline_answer: str
    judge: JudgeElsewhere
    score: float
    position: str
    rater: str
    replicate: int
    note: str


def from_row(row: object, *, judge: str = "", skip_missing: bool = False) -> VerdictRow | None:
    """A checked row; None for a verdict that is missing where those are skipped. Raises BadRow.

    judge: of rows that name none, as AlpacaEval's.
    """
    if not isinstance(row, dict):
        raise BadRow(f"expected a JSON object, found {shown(row)}")
    values = _from_alpaca_eval(row) if "preference" in row else row
    if unknown := sorted(set(map(str, values)) - KEYS):
        raise BadRow(f"expected keys among {', '.join(sorted(KEYS))}, found {', '.join(unknown)[:200]}")
    if values.get("score") is None and skip_missing:
        return None
    candidate, baseline = (text(values.get(side), side, most=60).strip() for side in ("candidate", "baseline"))
    if candidate == baseline:
        raise BadRow(f"expected a candidate that differs from the baseline, found {candidate!r} twice")
    prompt = _prompt(values)
    return VerdictRow(
        prompt=prompt,
        prompt_sha256=sha256_of(messages=prompt.messages),
        candidate=candidate,
        candidate_answer=text(values.get("candidate_answer"), "candidate_answer", least=0),
        baseline=baseline,
        baseline_answer=text(values.get("baseline_answer"), "baseline_answer", least=0),
        judge=_judge(values.get("judge") or judge),
        score=_score(values.get("score")),
        position=_position(values.get("position")),
        rater=text(values.get("rater") or "", "rater", most=40, least=0),
        replicate=_replicate(values.get("replicate", 0)),
        note=text(values.get("note") or "", "note", most=MAX_NOTE, least=0),
    )


def sha256_of_rows(*, rows: list[VerdictRow]) -> str:
    """Of what the rows say, however the file spelled it."""
    digest = hashlib.sha256()
    for row in rows:
        told = [
            row.prompt_sha256, row.candidate, row.candidate_answer, row.baseline, row.baseline_answer, row.judge.name,
            row.judge.settings, row.score, row.position, row.rater, row.replicate, row.note,
        ]  # fmt: skip
        digest.update(json.dumps(told).encode() + b"\n")
    return digest.hexdigest()


def _from_alpaca_eval(row: dict[str, Any]) -> dict[str, Any]:
    """A preference is 1 where the baseline wins for sure and 2 where the candidate does."""
    if unknown := sorted(set(map(str, row)) - ALPACA_EVAL.keys() - {"preference", "judge"}):
        raise BadRow(f"expected AlpacaEval's keys {', '.join(ALPACA_EVAL)}, found {', '.join(unknown)[:200]}")
    values = {ours: row.get(theirs) for theirs, ours in ALPACA_EVAL.items()}
    preference = row["preference"]
    if preference is not None and (type(preference) not in (int, float) or not 1 <= preference <= 2):
        raise BadRow(f"preference: expected a number from 1 to 2, or null, found {shown(preference)}")
    return {**values, "judge": row.get("judge"), "score": None if preference is None else preference - 1}


def _prompt(values: dict[str, Any]) -> NewPrompt:
    try:
        return new_prompt(value=values.get("prompt"), category=values.get("category") or "")
    except BadPrompt as error:
        raise BadRow(f"prompt: {error.message}") from error


def _judge(value: object) -> JudgeElsewhere:
    """A name, or an object with a name and whatever makes this judge another one."""
    if isinstance(value, str) and value:
        return JudgeElsewhere(text(value.strip(), "judge", most=80))
    if not isinstance(value, dict):
        raise BadRow(f"judge: expected a name, or an object with a name and its settings, found {shown(value)}")
    settings = json.dumps({key: value[key] for key in value if key != "name"}, sort_keys=True)
    if len(settings) > MAX_SETTINGS:
        raise BadRow(f"judge: expected settings of at most {MAX_SETTINGS:,} characters, found {len(settings):,}")
    return JudgeElsewhere(text(value.get("name"), "judge.name", most=80).strip(), text(settings, "judge"))


def _score(value: object) -> float:
    if value is None:
        raise BadRow("score: expected a number from 0 to 1, found none (skip_missing leaves such rows out)")
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value) or not 0 <= value <= 1:
        raise BadRow(f"score: expected a number from 0 to 1 (1: the candidate won), found {shown(value)}")
    return float(value)


def _position(value: object) -> str:
    if value in (None, ""):
        return str(Verdict.Position.NONE)
    if value not in Verdict.Position.values:
        raise BadRow(f"position: expected one of {', '.join(Verdict.Position.values)}, found {shown(value)}")
    return str(value)


def _replicate(value: object) -> int:
    if type(value) is not int or not 0 <= value <= 1_000_000:
        raise BadRow(f"replicate: expected a whole number from 0, found {shown(value)}")
    return value
