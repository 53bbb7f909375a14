"""Pairs judged by a reward model: it scores each answer alone, so it has no bias towards the one shown first.

The probability that a is preferred is sigma of the difference of raw scores, the scale on which the model was trained;
the scores of the rows are normalised.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from rlhf.learning import judging, loop, needs, reward_model, tables
from rlhf.learning.configs import JudgeConfig
from rlhf.learning.judging import Lines, Tally
from rlhf.learning.policy import require_room
from rlhf.learning.reading import reader
from rlhf.learning.text import Encoded

SIDES = ("completion_a", "completion_b")
CHUNK = 4  # batches of sequences between two looks at the counts; within a chunk they are batched by length


def run(folder: Path, config: JudgeConfig) -> None:
    device = loop.set_up(config.engine)
    estimate = needs.require(folder, config)
    assert config.reward_model is not None  # checked by the configuration
    model = reward_model.load_trained(config.reward_model, device)
    require_room(model.network, config.text)
    pairs = judging.read_pairs(folder)
    as_read = reader(model.network, model.tokenizer, config.text, f"{judging.TABLE}: pair")
    sequences = [[as_read.answer(pair["pair_id"], pair["prompt"], pair[side]) for side in SIDES] for pair in pairs]
    work = loop.Run(folder, "judge", config.engine, total_steps=2 * len(sequences))
    work.resume({}, {})
    work.log_first("estimate", estimate)
    order = judging.order(len(pairs), config.engine.seed)
    lines = Lines(work, Tally())
    raw = torch.zeros(len(pairs), 2, dtype=torch.float64)
    with loop.autocast(config.engine, device):
        for places in _chunks(order, config.batch_size):
            raw[places] = _scores(model, [sequences[place] for place in places], config.batch_size, lines)
            for a, b in raw[places].tolist():
                lines.tally.add(float(a > b) if a != b else 0.5)
            lines.on_step(work.step + 2 * len(places))
    normalised = model.normalised(raw).tolist()
    probabilities = torch.sigmoid(raw[:, 0] - raw[:, 1]).tolist()
    found = zip(pairs, normalised, probabilities, strict=True)
    rows = [judging.row(pair, a, b, probability) for pair, (a, b), probability in found]
    work.write_rows(tables.JUDGE_ROWS, rows)
    work.finish(judging.means(rows), ["rows.parquet"])


def _scores(model: reward_model.RewardModel, sequences: list[list[Encoded]], batch_size: int, lines: Lines) -> Tensor:
    """Raw scores (pairs, 2)."""
    flat = [sequence for both in sequences for sequence in both]

    def on_batch(*_: int) -> None:
        lines.work.stop_if_asked()

    scores = reward_model.score(model, flat, batch_size, on_batch)
    return torch.tensor(scores, dtype=torch.float64).reshape(-1, 2)


def _chunks(order: list[int], batch_size: int) -> Iterator[list[int]]:
    size = max(1, CHUNK * batch_size // 2)
    return (order[start : start + size] for start in range(0, len(order), size))
