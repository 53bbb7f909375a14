"""A `reward` run: rankings in, a reward model out, with its accuracy on held-out rankings.

InstructGPT, section 3.5: the loss is -log sigma(r_chosen - r_rejected) over all comparisons of a ranking, which stay
in one batch element. Departures: a ranking of ties alone isn't trained on, a ranking has a weight of its own (old
labels may count less), and after training gain and bias give the completions of the training rankings mean 0 and
standard deviation 1. Held-out rankings are never trained on and never normalised on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rlhf.learning import loop, reward_model, tables
from rlhf.learning.configs import InputError, RewardConfig
from rlhf.learning.losses import pairwise_loss
from rlhf.learning.policy import require_room
from rlhf.learning.records import Comparisons, comparisons
from rlhf.learning.report import ScoredRanking, accuracy
from rlhf.learning.reward_model import RewardModel
from rlhf.learning.sft import epoch_batches, num_steps
from rlhf.learning.text import Batch, Encoded, encode, right_pad


class NoComparisons(InputError):
    """Rankings that say nothing: no training ranking prefers one completion to another."""


@dataclass(frozen=True)
class EncodedRanking:
    """A ranking of K completions as tokens, and the comparisons that it holds."""

    row: dict[str, Any]  # of data/rankings.parquet
    sequences: list[Encoded]  # K
    comparisons: Comparisons
    weight: float


@dataclass(frozen=True)
class RankingBatch:
    """Completions of whole rankings in one forward, and their comparisons as indices into it."""

    ranking_ids: list[int]
    batch: Batch  # (N, T), completions of all rankings one after the other
    winners: Tensor  # (P,)
    losers: Tensor  # (P,)
    pair_weights: Tensor  # (P,), weight of the ranking over its number of comparisons


def run(folder: Path, config: RewardConfig) -> None:
    """Train on the training split, normalise on it, score the held-out split, and write the result."""
    device = loop.set_up(config.engine)
    # 1. Model and rankings; gain and bias start anew, since the scores of an earlier model will move.
    model = replace(reward_model.load(config.model, device, config.engine.seed), gain=1.0, bias=0.0)
    require_room(model.network, config.text)
    rankings = _encode(model, tables.read_table(folder / "data" / "rankings.parquet", tables.RANKINGS), config)
    training = [r for r in rankings if r.row["split"] == "train" and r.comparisons.winners and r.weight > 0]
    held_out = [r for r in rankings if r.row["split"] == "held_out"]
    if not training:
        raise NoComparisons(f"{folder / 'data' / 'rankings.parquet'}: found no training ranking with a preference")
    # 2. Optimiser, and where an earlier attempt stopped.
    steps_per_epoch = num_steps(len(training), config.batch_size, 1)
    learner = loop.Learner(model.network, config.optimizer, config.num_epochs * steps_per_epoch)
    work = loop.Run(folder, "reward", config.engine, learner.total_steps)
    work.resume({"reward_model": model.network}, {"reward_model": learner})
    # 3. Steps, on rankings of like length, so that little is padded.
    lengths = [max(sequence.length for sequence in ranking.sequences) for ranking in training]
    for epoch in range(work.step // steps_per_epoch, config.num_epochs):
        batches = epoch_batches(lengths, config.batch_size, config.engine.seed, epoch)
        for rows in batches[work.step - epoch * steps_per_epoch :]:
            metrics = _train_step(model, learner, [training[row] for row in rows], config)
            work.end_step("train", metrics, {})
    # 4. Normalise on the training completions, and see how it does on the others.
    model = reward_model.normalise(model, _scores(model, training, config))
    scores = [model.gain * score + model.bias for score in _scores(model, held_out, config)]
    tables.write_table(folder / "rows.parquet", tables.REWARD_ROWS, _rows(held_out, scores))
    reward_model.save(model, folder / "model")
    work.finish(_report(held_out, scores), ["model", "rows.parquet"])


def _encode(model: RewardModel, rows: Sequence[dict[str, Any]], config: RewardConfig) -> list[EncodedRanking]:
    encoded = []
    for row in rows:
        counts = [len(row[name]) for name in ("completion_ids", "completions", "ranks")]
        if min(counts) != max(counts):  # an index past a ranking's end would mean the next ranking's completion
            raise tables.TableError(
                f"ranking {row['ranking_id']}: found {counts[0]} completion ids, {counts[1]} completions and "
                f"{counts[2]} ranks, expected as many of each"
            )
        sequences = [
            encode(model.tokenizer, row["ranking_id"], row["prompt"], c, config.text) for c in row["completions"]
        ]
        encoded.append(EncodedRanking(row, sequences, comparisons(row["ranks"]), row["weight"]))
    return encoded


def collate(rankings: Sequence[EncodedRanking], pad_id: int, device: torch.device | str = "cpu") -> RankingBatch:
    """Lay whole rankings out for one forward: K forwards for up to K(K-1)/2 comparisons."""
    winners, losers, weights = [], [], []
    first = 0
    for ranking in rankings:
        pairs = ranking.comparisons
        winners += [first + index for index in pairs.winners]
        losers += [first + index for index in pairs.losers]
        weights += [ranking.weight / len(pairs.winners)] * len(pairs.winners)
        first += len(ranking.sequences)
    return RankingBatch(
        ranking_ids=[ranking.row["ranking_id"] for ranking in rankings],
        batch=right_pad([sequence for ranking in rankings for sequence in ranking.sequences], pad_id, device),
        winners=torch.tensor(winners, device=device),
        losers=torch.tensor(losers, device=device),
        pair_weights=torch.tensor(weights, device=device),
    )


def _train_step(
    model: RewardModel, learner: loop.Learner, rankings: Sequence[EncodedRanking], config: RewardConfig
) -> dict[str, float]:
    device = next(model.network.parameters()).device
    right = num_pairs = 0

    def loss_sum(part: RankingBatch) -> Tensor:
        nonlocal right, num_pairs
        with loop.autocast(config.engine, device):
            scores = reward_model.last_token_scores(model, part.batch)
        right += int((scores[part.winners] > scores[part.losers]).sum())
        num_pairs += len(part.winners)
        return pairwise_loss(scores, part.winners, part.losers, part.pair_weights)

    parts = (collate(part, model.pad_id, device) for part in _parts(rankings, config.micro_batch_size))
    total_weight = sum(ranking.weight for ranking in rankings)
    loss = loop.accumulate(parts, loss_sum, total_weight, lambda part: part.ranking_ids)
    learning_rate = learner.learning_rate
    gradient_norm = learner.apply()
    return {
        "loss": loss,
        "accuracy": right / num_pairs,
        "learning_rate": learning_rate,
        "gradient_norm": gradient_norm,
    }


def _parts(rankings: Sequence[EncodedRanking], size: int) -> Iterator[Sequence[EncodedRanking]]:
    return (rankings[start : start + size] for start in range(0, len(rankings), size))


def _scores(model: RewardModel, rankings: Sequence[EncodedRanking], config: RewardConfig) -> list[float]:
    sequences = [sequence for ranking in rankings for sequence in ranking.sequences]
    return reward_model.score(model, sequences, 4 * config.micro_batch_size)


def _rows(rankings: Sequence[EncodedRanking], scores: Sequence[float]) -> list[dict[str, Any]]:
    score_of = iter(scores)
    return [
        {
            "ranking_id": ranking.row["ranking_id"],
            "prompt_id": ranking.row["prompt_id"],
            "labeler": ranking.row["labeler"],
            "iteration": ranking.row["iteration"],
            "completion_id": completion_id,
            "rank": rank,
            "score": next(score_of),
        }
        for ranking in rankings
        for completion_id, rank in zip(ranking.row["completion_ids"], ranking.row["ranks"], strict=True)
    ]


def _report(rankings: Sequence[EncodedRanking], scores: Sequence[float]) -> dict[str, float | int | None]:
    score_of = iter(scores)
    scored = [
        ScoredRanking(r.row["prompt_id"], r.row["ranks"], [next(score_of) for _ in r.sequences]) for r in rankings
    ]
    found = accuracy(scored)
    return {
        "accuracy": found.mean if found else None,
        "accuracy_low": found.low if found else None,
        "accuracy_high": found.high if found else None,
        "num_pairs": found.num_rows if found else 0,
        "num_rankings": sum(bool(ranking.comparisons.winners) for ranking in rankings),
    }
