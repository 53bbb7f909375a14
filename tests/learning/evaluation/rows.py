"""Verdicts to test with, as short as a sentence, and the document that they come to."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rlhf.learning import columns, configs, estimate, tables

Row = dict[str, Any]
VERSIONS = [
    {"id": 10, "name": "v0", "kind": "sft", "number": 0},
    {"id": 11, "name": "v1", "kind": "ppo", "number": 1},
    {"id": 12, "name": "v2", "kind": "ppo", "number": 2},
]
PAIRS = {1: (11, 10), 2: (12, 11), 3: (12, 10)}  # evaluation: candidate, baseline


def verdict(evaluation: int, judge: int, prompt: int, score: float, **known: Any) -> Row:
    """Held out, by a machine that sees each answer alone, unless `known` says otherwise."""
    candidate, baseline = PAIRS[evaluation]
    return {
        **tables.added(tables.VERDICTS),
        "verdict_id": 0,
        "evaluation_id": evaluation,
        "judge_id": judge,
        "prompt_id": prompt,
        "score": score,
        "split": "held_out",
        "rater": "",
        "position": "none",
        "replicate": 0,
        "candidate_id": candidate,
        "baseline_id": baseline,
        **known,
    }


def both_orders(evaluation: int, judge: int, prompt: int, first: float, second: float, **known: Any) -> list[Row]:
    """The candidate's score where it was shown first, and where second."""
    return [
        verdict(evaluation, judge, prompt, first, position="candidate_first", **known),
        verdict(evaluation, judge, prompt, second, position="baseline_first", **known),
    ]


def write(folder: Path, rows: Iterable[Row]) -> Path:
    numbered = ({**row, "verdict_id": number} for number, row in enumerate(rows, start=1))
    folder.mkdir(parents=True, exist_ok=True)
    columns.write_twins(folder / "data/verdicts.parquet", folder / "data/verdicts.jsonl", tables.VERDICTS, numbered)
    return folder


def document(folder: Path, rows: Iterable[Row], judges: Iterable[Row] = (), **config: Any) -> Row:
    """Run the estimate as a worker would, and read what it wrote."""
    values = {"versions": VERSIONS, "judges": list(judges), "num_resamples": 200, **config}
    estimate.run(write(folder, rows), configs.from_dict("estimate", values))
    found: Row = json.loads((folder / "document.json").read_text())
    return found


def estimates(folder: Path) -> list[Row]:
    return tables.read_table(folder / "rows.parquet", tables.ESTIMATE_ROWS)
