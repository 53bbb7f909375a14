"""What all judges share: the order in which pairs are judged, counts while they are, rows and their means. Torch-free.

Pairs are judged in random order, so that what has been judged so far is a random sample of all, and the anytime-valid
bounds of `stats.sequences` hold whenever somebody looks.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rlhf.learning import tables
from rlhf.learning.stats.sequences import look
from rlhf.learning.work import Work

TABLE = "data/pairs.parquet"
SAID = 4_000  # characters kept of a reply: the last ones, with the verdict
_LINES = 400  # of metrics.jsonl in a quick run; a slow one has a line a second
_LINE_S = 1.0


def read_pairs(folder: Path) -> list[dict[str, Any]]:
    return tables.read_table(folder / TABLE, tables.PAIRS)


def order(num_pairs: int, seed: int) -> list[int]:
    """The order of judging: a permutation that depends on (num_pairs, seed) alone."""
    found: list[int] = np.random.default_rng([seed, num_pairs]).permutation(num_pairs).tolist()
    return found


class Tally:
    """How the pairs judged so far came out, counted once each whatever the number of orders."""

    def __init__(self) -> None:
        self.wins = self.ties = self.losses = self.unsettled = 0
        self._scores: list[float] = []

    def __len__(self) -> int:
        return len(self._scores)

    def add(self, *scores: float) -> None:
        """A pair, by its scores of a: one of each order."""
        signs = {(score > 0.5) - (score < 0.5) for score in scores}
        sign = signs.pop() if len(signs) == 1 else None
        self.wins += sign == 1
        self.ties += sign == 0
        self.losses += sign == -1
        self.unsettled += sign is None
        self._scores.append(math.fsum(scores) / len(scores))

    def numbers(self) -> dict[str, float]:
        """For a metric line; nothing before the first pair. low and high hold at all looks together."""
        if not self._scores:
            return {}
        found = look(self._scores)
        counts = {"wins": self.wins, "ties": self.ties, "losses": self.losses, "unsettled": self.unsettled}
        return {**counts, "win_rate": found.mean, "low": found.low, "high": found.high}


class Lines:
    """Metric lines of a judge at work: not one for each answer, but one a second, or every 400th part of the run."""

    def __init__(self, work: Work, tally: Tally) -> None:
        self.work, self.tally = work, tally
        self._step, self._at = 0, -math.inf

    def on_step(self, step: int) -> None:
        work = self.work
        work.step = step
        is_due = step - self._step >= work.total_steps / _LINES or time.monotonic() - self._at >= _LINE_S
        if step > self._step and (is_due or step >= work.total_steps):
            work.log("judge", self.tally.numbers())
            self._step, self._at = step, time.monotonic()


def row(pair: dict[str, Any], score_a: float, score_b: float, probability: float, **orders: Any) -> dict[str, Any]:
    """A row of rows.parquet; `orders` are what a judge that sees both answers said in each order."""
    neither = {
        "winner_ab": "",
        "winner_ba": "",
        "score_ab": math.nan,
        "score_ba": math.nan,
        "said_ab": "",
        "said_ba": "",
    }
    return {
        "pair_id": pair["pair_id"],
        "prompt_id": pair["prompt_id"],
        "score_a": score_a,
        "score_b": score_b,
        "probability": probability,
        **neither,
        **orders,
    }


def means(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Of the pairs that have a verdict; null where none has."""
    judged = [row for row in rows if not math.isnan(row["probability"])]
    names = ("score_a", "score_b", "probability")
    found = {name: sum(row[name] for row in judged) / len(judged) if judged else None for name in names}
    return {"num_pairs": len(rows), **found}
