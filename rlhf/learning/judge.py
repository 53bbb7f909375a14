"""A `judge` run: pairs of completions scored by a reward model.

A reward model scores each completion alone, so it has no bias towards the one shown first. The probability that a is
preferred is sigma of the difference of raw scores, the scale on which the model was trained; the scores are normalised.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from rlhf.learning import loop, needs, reward_model, tables
from rlhf.learning.configs import JudgeConfig
from rlhf.learning.policy import require_room
from rlhf.learning.reading import reader


def run(folder: Path, config: JudgeConfig) -> None:
    """Score every pair and write rows.parquet. A second start scores again: the rows are the same."""
    device = loop.set_up(config.engine)
    estimate = needs.require(folder, config)
    model = reward_model.load_trained(config.reward_model, device)
    require_room(model.network, config.text)
    pairs = tables.read_table(folder / "data" / "pairs.parquet", tables.PAIRS)
    as_read = reader(model.network, model.tokenizer, config.text, "data/pairs.parquet: pair")
    sequences = [
        as_read.answer(pair["pair_id"], pair["prompt"], pair[side])
        for pair in pairs
        for side in ("completion_a", "completion_b")
    ]
    work = loop.Run(folder, "judge", config.engine, total_steps=len(sequences))
    work.resume({}, {})
    work.log_first("estimate", estimate)

    def on_batch(done: int, total: int) -> None:
        work.step = done
        work.log("judge", {})
        work.stop_if_asked()

    with loop.autocast(config.engine, device):
        scores = reward_model.score(model, sequences, config.batch_size, on_batch)
    raw = torch.tensor(scores, dtype=torch.float64).reshape(-1, 2)  # (pairs, 2)
    normalised = model.normalised(raw).tolist()
    probabilities = torch.sigmoid(raw[:, 0] - raw[:, 1]).tolist()
    rows = _rows(pairs, normalised, probabilities)
    work.write_rows(tables.JUDGE_ROWS, rows)
    work.finish(_report(rows), ["rows.parquet"])


def _rows(
    pairs: Sequence[dict[str, Any]], scores: Sequence[Sequence[float]], probabilities: Sequence[float]
) -> list[dict[str, Any]]:
    return [
        {
            "pair_id": pair["pair_id"],
            "prompt_id": pair["prompt_id"],
            "score_a": score_a,
            "score_b": score_b,
            "probability": probability,
        }
        for pair, (score_a, score_b), probability in zip(pairs, scores, probabilities, strict=True)
    ]


def _report(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    num_pairs = max(1, len(rows))
    return {
        "num_pairs": len(rows),
        "score_a": sum(row["score_a"] for row in rows) / num_pairs,
        "score_b": sum(row["score_b"] for row in rows) / num_pairs,
        "probability": sum(row["probability"] for row in rows) / num_pairs,
    }
