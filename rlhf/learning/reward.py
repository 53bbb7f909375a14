"""A `reward` run: rankings in, a reward model out, with its accuracy on held-out rankings.

InstructGPT, section 3.5: the loss is -log sigma(r_chosen - r_rejected) over all comparisons of a ranking, which stay
in one batch element. Departures: a ranking has a weight of its own (old labels may count less); ties are dropped as
there, or are an outcome with a likelihood (`ties`); a margin may follow from the labelers' strength, and a loss of its
own from their safety labels (`safety_coefficient`), as in Llama 2; an ensemble is heads on one trunk, each trained on a
double-or-nothing bootstrap of the rankings (Owen and Eckles 2012). After training, bias gives demonstrations mean 0 and
gain unit deviation, see `reward_model.normalise`. Held-out rankings are never trained on and never normalised on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rlhf.learning import distributed, loop, lora, needs, rankings, report, reward_model, safety, tables
from rlhf.learning.chunks import in_chunks
from rlhf.learning.completion_sets import EncodedRanking, side_by_side
from rlhf.learning.configs import InputError, RewardConfig
from rlhf.learning.policy import load_policy, require_room
from rlhf.learning.preference_losses import davidson_loss, pairwise_loss, rao_kupper_loss, safety_loss, tie_threshold
from rlhf.learning.preparation import prepare
from rlhf.learning.rankings import RankingBatch, collate
from rlhf.learning.reading import DEMONSTRATION, read_split, reader
from rlhf.learning.reward_model import RewardModel
from rlhf.learning.sampling import Prompt, sample
from rlhf.learning.selection import Selection
from rlhf.learning.sft import epoch_batches, num_steps
from rlhf.learning.stats.scaling import Slope, slope
from rlhf.learning.text import Encoded
from rlhf.learning.vocabulary import require_same_tokens


class UntrainedHead(InputError):
    """A head of an ensemble whose bootstrap of the rankings is empty: it would stay noise, and count as much."""


def run(folder: Path, config: RewardConfig) -> None:
    """Train on the training split, normalise, score the held-out split, and write the result."""
    device = loop.set_up(config.engine)
    estimate = needs.require(folder, config)
    # 1. Model and rankings; gain and bias start anew, since the scores of an earlier model will move.
    rows = rankings.read(folder / "data" / "rankings.parquet")
    model = replace(_load(config, device), gain=1.0, bias=0.0)
    require_room(model.network, config.text)
    as_read = reader(model.network, model.tokenizer, config.text, rankings.RANKING)
    encoded = rankings.encode_rankings(as_read, rows, config.margin, config.labeler_weights)
    training, held_out = rankings.split(encoded, config.ties != "drop")
    if config.safety_coefficient:
        safety.require_labels(training)
    _require_trained_heads(training, config)
    demonstrations = _demonstrations(folder, model, config)
    samples = samples_of_policy(model, training, config, device)  # now: what is wrong with the policy shows at once
    # 2. Optimiser, and where an earlier attempt stopped.
    steps_per_epoch = num_steps(len(training), config.batch_size, 1)
    learner = loop.Learner(model.network, config.optimizer, config.num_epochs * steps_per_epoch)
    work = loop.Run(folder, "reward", config.engine, learner.total_steps)
    config = replace(config, tie_threshold=config.tie_threshold or _threshold(training, config.ties))
    measured = rankings.informative(held_out, config.ties != "drop")
    selection = Selection(
        model.network,
        config.evaluate_every,
        config.choose_by,
        len(measured),
        lambda: held_out_numbers(model, measured, config),
    )
    models = {"reward_model": model.network} | selection.models
    selection.resume(work.resume(models, {"reward_model": learner}))
    work.log_first("estimate", estimate)
    # 3. Steps, on whole rankings.
    for chosen in _batches(training, work.step, config):
        numbers = _train_step(model, learner, chosen, config)
        work.end_step("train", numbers, selection.after_step(work))
    best = selection.restore()
    # 4. Normalise, and see how it does on what it hasn't seen.
    model = reward_model.normalise(
        model, _score(model, samples, config).mean(1).tolist(), _score(model, demonstrations, config).mean(1).tolist()
    )
    raw = _score(model, _sequences(held_out), config)  # (N, H)
    rows_out = rankings.scored_rows(held_out, raw * model.gain + model.bias)
    work.write_rows(tables.REWARD_ROWS, rows_out)
    reward_model.save(model, folder / "model")
    # 5. The report card, for which smaller models may be trained.
    scores = raw.mean(1).tolist()
    scaling = _scaling(training, held_out, scores, config, work)
    labelers = {ranking.row["labeler"] for ranking in training}
    card = report.card(rankings.scored(held_out, scores), rankings.labels(encoded), labelers, scaling)
    work.write_json("report.json", card)
    counts = rankings.counts(encoded, training) | {"tie_threshold": config.tie_threshold}
    metrics = rankings.held_out_accuracy(held_out, scores) | counts | report.headline(card)
    metrics |= safety.held_out(held_out, scores) | best
    work.finish(metrics, ["model", "report.json", "rows.parquet"])


def _load(config: RewardConfig, device: torch.device) -> RewardModel:
    model = reward_model.load(config.model, device, config.engine.seed, config.num_heads)
    if config.lora is not None:
        lora.add(model.network, config.lora, config.engine.seed, reward_model.HEAD)
    prepare(config.engine, model.network)
    return model


def _batches(training: Sequence[EncodedRanking], done: int, config: RewardConfig) -> Iterator[list[EncodedRanking]]:
    """The rankings of every optimiser step after the first `done`, epoch after epoch, those of a set side by side."""
    lengths, together = side_by_side(training)
    per_epoch = num_steps(len(training), config.batch_size, 1)
    for epoch in range(done // per_epoch, config.num_epochs):
        batches = epoch_batches(lengths, config.batch_size, config.engine.seed, epoch, together)
        for rows in batches[max(0, done - epoch * per_epoch) :]:
            yield [training[row] for row in rows]


def _threshold(training: Sequence[EncodedRanking], ties: str) -> float | None:
    """Where equal scores tie as often as the training pairs do, each ranking counting by its weight."""
    if ties == "drop":
        return None
    total = sum(ranking.weight for ranking in training)
    shares = (r.weight * r.comparisons.num_ties / (r.comparisons.num_ties + r.num_pairs) for r in training)
    return tie_threshold(ties, sum(shares) / total)


def _train_step(
    model: RewardModel, learner: loop.Learner, chosen: Sequence[EncodedRanking], config: RewardConfig
) -> dict[str, float]:
    device = next(model.network.parameters()).device
    counts = {"right": 0.0, "pairs": 0.0}

    def loss_sum(part: RankingBatch) -> Tensor:
        with loop.autocast(config.engine, device):
            scores = in_chunks(partial(reward_model.head_scores, model), part.batch, config.completions_per_forward)
        better = scores.detach().mean(1)
        counts["right"] += float((better[part.winners] > better[part.losers])[~part.tied].sum())
        counts["pairs"] += float((~part.tied).sum())
        return loss_of_heads(scores, part, config)

    ties = config.ties != "drop"
    size = distributed.micro_batch_size(config.micro_batch_size, len(chosen))
    parts = (collate(part, model.pad_id, device, ties) for part in rankings.parts(chosen, size))
    total_weight = sum(ranking.weight for ranking in chosen)
    loss = loop.accumulate(parts, loss_sum, total_weight, lambda part: part.ranking_ids, counts)
    learning_rate = learner.learning_rate
    gradient_norm = learner.apply([ranking.row["ranking_id"] for ranking in chosen])
    return {
        "loss": loss,
        "accuracy": counts["right"] / max(1, counts["pairs"]),
        "learning_rate": learning_rate,
        "gradient_norm": gradient_norm,
    }


@torch.no_grad()
def held_out_numbers(model: RewardModel, held_out: Sequence[EncodedRanking], config: RewardConfig) -> dict[str, float]:
    """The loss of held-out comparisons by weight, a mean over heads and without safety labels, and the share that is
    right."""
    device = next(model.network.parameters()).device
    loss = right = num_pairs = 0.0
    for part in rankings.parts(held_out, config.micro_batch_size):
        batch = collate(part, model.pad_id, device, config.ties != "drop")
        with loop.autocast(config.engine, device):
            scores = in_chunks(partial(reward_model.head_scores, model), batch.batch, config.completions_per_forward)
        losses = [_pair_loss(one, batch, batch.pair_weights, config) for one in scores.unbind(1)]
        loss += float(torch.stack(losses).mean())
        mean = scores.mean(1)
        right += float((mean[batch.winners] > mean[batch.losers])[~batch.tied].sum())
        num_pairs += float((~batch.tied).sum())
    return {"loss": loss / sum(ranking.weight for ranking in held_out), "accuracy": right / max(1.0, num_pairs)}


def loss_of_heads(scores: Tensor, batch: RankingBatch, config: RewardConfig) -> Tensor:
    """The mean over heads of each head's loss, summed over rankings. scores: (M, H). Returns a scalar."""
    num_heads = scores.shape[1]
    if num_heads == 1:
        return _loss(scores[:, 0], batch, batch.pair_weights, batch.safety_weights, config)
    multipliers = torch.tensor(
        [bootstrap_multipliers(config.engine.seed, ranking_id, num_heads) for ranking_id in batch.ranking_ids],
        device=scores.device,
    )  # (R, H)
    weights = batch.pair_weights[:, None] * multipliers[batch.rankings]  # (P, H)
    of_safety = batch.safety_weights[:, None] * multipliers[batch.owners]  # (N, H)
    losses = [_loss(scores[:, head], batch, weights[:, head], of_safety[:, head], config) for head in range(num_heads)]
    return torch.stack(losses).mean()


def _require_trained_heads(training: Sequence[EncodedRanking], config: RewardConfig) -> None:
    if config.num_heads == 1:
        return
    drawn = [bootstrap_multipliers(config.engine.seed, r.row["ranking_id"], config.num_heads) for r in training]
    untrained = sum(not any(of_head) for of_head in zip(*drawn, strict=True))
    if untrained:
        raise UntrainedHead(
            f"num_heads: found {untrained} of {config.num_heads} heads with nothing in their bootstrap of "
            f"{len(training)} training rankings, expected more rankings or fewer heads"
        )


def bootstrap_multipliers(seed: int, ranking_id: int, num_heads: int) -> list[float]:
    """0 or 2 for each head, the same in every epoch and whatever else is in the batch: a bootstrap of the rankings."""
    doubled = np.random.default_rng([seed, abs(ranking_id), 2]).random(num_heads) < 0.5
    return [2.0 if double else 0.0 for double in doubled]


def _loss(scores: Tensor, batch: RankingBatch, weights: Tensor, safety_weights: Tensor, config: RewardConfig) -> Tensor:
    loss = _pair_loss(scores, batch, weights, config)
    if not config.safety_coefficient:
        return loss
    return loss + config.safety_coefficient * safety_loss(scores[batch.places], batch.safe, safety_weights)


def _pair_loss(scores: Tensor, batch: RankingBatch, weights: Tensor, config: RewardConfig) -> Tensor:
    if config.ties == "drop":
        margins = None if config.margin == "off" else batch.margins
        return pairwise_loss(scores, batch.winners, batch.losers, weights, margins, config.label_smoothing)
    assert config.tie_threshold is not None, config.ties
    likelihood = rao_kupper_loss if config.ties == "rao_kupper" else davidson_loss
    return likelihood(
        scores, batch.winners, batch.losers, batch.tied, weights, config.tie_threshold, config.label_smoothing
    )


def _scaling(
    training: Sequence[EncodedRanking],
    held_out: Sequence[EncodedRanking],
    scores: Sequence[float],
    config: RewardConfig,
    work: loop.Run,
) -> Slope | None:
    """Accuracy by number of training rankings; None where no share is asked for, or nothing is held out.

    Shares are nested: prompts in a seeded order, the first so many. Each model starts where the large one did. Nothing
    of this is in a checkpoint; a run that is killed here does it again, to the same end.
    """
    prompt_ids = sorted({ranking.row["prompt_id"] for ranking in training})
    order = [prompt_ids[place] for place in loop.epoch_order(len(prompt_ids), config.engine.seed, config.num_epochs)]
    right, clusters = report.outcomes(rankings.scored(held_out, scores))
    sizes, outcomes = [], []
    for share in sorted(config.scaling_shares):
        kept = set(order[: max(1, round(share * len(order)))])
        part = [ranking for ranking in training if ranking.row["prompt_id"] in kept]
        model = _small_model(part, config, work)
        found = _score(model, _sequences(held_out), config).mean(1).tolist()
        sizes.append(len(part))
        outcomes.append(report.outcomes(rankings.scored(held_out, found))[0])
    if not sizes or len(set(clusters)) < 2:
        return None
    return slope([*sizes, len(training)], [*outcomes, right], clusters)


def _small_model(part: Sequence[EncodedRanking], config: RewardConfig, work: loop.Run) -> RewardModel:
    device = torch.device("cuda" if config.engine.device != "cpu" and torch.cuda.is_available() else "cpu")
    model = _load(config, device)
    steps = config.num_epochs * num_steps(len(part), config.batch_size, 1)
    learner = loop.Learner(model.network, config.optimizer, steps)
    for chosen in _batches(part, 0, config):
        work.log("scaling", _train_step(model, learner, chosen, config) | {"num_train": len(part)})
        work.stop_if_asked()
    return model


def _demonstrations(folder: Path, model: RewardModel, config: RewardConfig) -> list[Encoded]:
    """The training demonstrations that lie beside the rankings; none where there is no such file."""
    path = folder / "data" / "demonstrations.parquet"
    rows = read_split(path, tables.DEMONSTRATIONS, "demonstration_id") if path.exists() else []
    as_read = reader(model.network, model.tokenizer, config.text, DEMONSTRATION)
    return [as_read.demonstration(row) for row in rows if row["split"] == "train"]


def samples_of_policy(
    model: RewardModel, training: Sequence[EncodedRanking], config: RewardConfig, device: torch.device
) -> list[Encoded]:
    """What the gain is measured on: samples of the policy on training prompts, or the training completions."""
    if config.policy is None:
        return _sequences(training)
    of_prompt = {ranking.row["prompt_id"]: ranking.sequences[0].prompt_ids for ranking in training}
    prompts = [Prompt(prompt_id, ids) for prompt_id, ids in sorted(of_prompt.items())[: config.num_samples]]
    policy = load_policy(config.policy, device)
    require_same_tokens(config.policy, policy.tokenizer, config.model, model.tokenizer)
    done = sample(
        policy,
        prompts,
        num_samples=-(-config.num_samples // len(prompts)),
        temperature=1.0,
        max_new_tokens=config.text.max_completion_tokens,
        seed=config.engine.seed,
        batch_size=4 * config.micro_batch_size,
    )
    return [Encoded(one.prompt_id, of_prompt[one.prompt_id], one.ids) for one in done]


def _sequences(chosen: Sequence[EncodedRanking]) -> list[Encoded]:
    return [sequence for ranking in chosen for sequence in ranking.sequences]


def _score(model: RewardModel, sequences: Sequence[Encoded], config: RewardConfig) -> Tensor:
    return reward_model.score_heads(model, sequences, config.completions_per_forward or 4 * config.micro_batch_size)
