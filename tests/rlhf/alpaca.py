"""The committed sample of AlpacaEval (tests/rlhf/alpaca_eval/README.md) and its own formulas."""

from __future__ import annotations

import gzip
import json
import math
import statistics
from pathlib import Path
from typing import Any

FILES = sorted((Path(__file__).parent / "alpaca_eval").glob("*.jsonl.gz"))


def lines(file: Path) -> bytes:
    return gzip.decompress(file.read_bytes())


def rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines(file).splitlines()]


def published(found: list[dict[str, Any]]) -> dict[str, float]:
    """Of preferences as they came: 1 the baseline wins, 2 the candidate does, exactly 1.5 a draw."""
    scores = [row["preference"] - 1 for row in found]
    return {
        "win_rate": 100 * statistics.fmean(scores),
        "standard_error": 100 * statistics.stdev(scores) / math.sqrt(len(scores)),
        "n_wins": sum(score > 0.5 for score in scores),
        "n_wins_base": sum(score < 0.5 for score in scores),
        "n_draws": sum(score == 0.5 for score in scores),
        "avg_length": statistics.fmean(len(row["candidate_output"]) for row in found),
    }
