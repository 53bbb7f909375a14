"""A `dpo` run: a policy trained on rankings directly, by DPO, IPO or KTO.

The reference is the policy that the run starts from, asked by the same forward on the same batch, so that at the first
step every log-ratio is exactly 0. Departures from the papers: all comparisons of a ranking share the forwards of its
completions and stay in one batch element, as for the reward model; IPO takes means over tokens (`ipo_loss`); KTO takes
a completion of a ranking as desirable for each comparison that it won and as undesirable for each that it lost, and
estimates its reference point from one completion of another prompt per ranking of the step, whatever the micro-batches.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from rlhf.learning import distributed, loop, lora, needs, rankings, samples, tables
from rlhf.learning.chunks import in_chunks
from rlhf.learning.completion_sets import EncodedRanking, distinct, side_by_side
from rlhf.learning.configs import DPOConfig, InputError
from rlhf.learning.forward import completion_log_probabilities
from rlhf.learning.policy import Policy, load_policy, require_room, save_policy
from rlhf.learning.preference_losses import dpo_loss, ipo_loss, kto_loss
from rlhf.learning.preparation import prepare
from rlhf.learning.rankings import RankingBatch, collate
from rlhf.learning.reading import reader
from rlhf.learning.selection import Selection
from rlhf.learning.sft import epoch_batches, num_steps
from rlhf.learning.text import Batch, Encoded, right_pad


class OnePrompt(InputError):
    """KTO needs completions of other prompts, and there is one prompt alone."""


@dataclass(frozen=True)
class Networks:
    """The policy, which is trained, and the weights that it started from."""

    policy: Policy
    reference: PreTrainedModel  # with LoRA the policy's own model, which `log_ratios` asks with the adapter off


def run(folder: Path, config: DPOConfig) -> None:
    """Train on the training split, measure implicit rewards on the held-out split, and write the result."""
    device = loop.set_up(config.engine)
    estimate = needs.require(folder, config)
    # 1. Policy, reference and rankings.
    rows = rankings.read(folder / "data" / "rankings.parquet")
    policy = load_policy(config.model, device)
    require_room(policy.model, config.text)
    if config.lora is not None:
        lora.add(policy.model, config.lora, config.engine.seed)
        reference = policy.model  # with the adapter off
    else:
        reference = load_policy(config.model, device).model.requires_grad_(False)
    prepare(config.engine, policy.model, reference)
    networks = Networks(policy, reference)
    as_read = reader(policy.model, policy.tokenizer, config.text, rankings.RANKING)
    encoded = rankings.encode_rankings(as_read, rows, labeler_weights=config.labeler_weights)
    training, held_out = rankings.split(encoded, ties=False)
    others = mismatched(training) if config.loss == "kto" else []
    # 2. Optimiser, and where an earlier attempt stopped.
    steps_per_epoch = num_steps(len(training), config.batch_size, 1)
    learner = loop.Learner(policy.model, config.optimizer, config.num_epochs * steps_per_epoch)
    work = loop.Run(folder, "dpo", config.engine, learner.total_steps)
    measured = rankings.informative(held_out, ties=False)
    selection = Selection(
        policy.model,
        config.evaluate_every,
        config.choose_by,
        len(measured),
        lambda: held_out_numbers(networks, measured, others, config),
    )
    selection.resume(work.resume({"policy": policy.model} | selection.models, {"policy": learner}))
    work.log_first("estimate", estimate)
    samples.watch(work, policy, rows, config.text)
    # 3. Steps, on whole rankings.
    lengths, together = side_by_side(training)
    for epoch in range(work.step // steps_per_epoch, config.num_epochs):
        batches = epoch_batches(lengths, config.batch_size, config.engine.seed, epoch, together)
        for chosen in batches[work.step - epoch * steps_per_epoch :]:
            kl = reference_point(networks, [others[row] for row in chosen], config) if others else 0.0
            metrics = _train_step(networks, learner, [training[row] for row in chosen], kl, config)
            work.end_step("train", metrics, selection.after_step(work))
    # 4. Results.
    best = selection.restore()
    scores = _implicit_rewards(networks, held_out, config)
    work.write_rows(tables.REWARD_ROWS, rankings.scored_rows(held_out, scores[:, None]))
    save_policy(policy, folder / "model")
    report = rankings.held_out_accuracy(held_out, scores.tolist()) | rankings.counts(encoded, training) | best
    work.finish(report, ["model", "rows.parquet"])


def log_ratios(networks: Networks, batch: Batch, of_mean: bool) -> Tensor:
    """log pi - log pi_ref of each completion, (B,), nats: sums over its tokens, or means where `of_mean`."""
    of_policy = completion_log_probabilities(networks.policy.model, batch)
    with torch.no_grad(), lora.start_of(networks.reference, networks.policy.model):
        of_reference = completion_log_probabilities(networks.reference, batch)
    sums = (of_policy - of_reference).sum(1)
    return sums / batch.completion_mask.sum(1) if of_mean else sums


def mismatched(training: Sequence[EncodedRanking]) -> list[Encoded]:
    """For each ranking its prompt with the first completion of the next ranking that has another prompt.

    Raises:
        OnePrompt: there is no other prompt.
    """
    found = []
    for place, ranking in enumerate(training):
        later = (training[(place + step) % len(training)] for step in range(1, len(training)))
        other = next((r for r in later if r.row["prompt_id"] != ranking.row["prompt_id"]), None)
        if other is None:
            raise OnePrompt(
                f"data/rankings.parquet: found training rankings of prompt {ranking.row['prompt_id']} alone, "
                "expected two prompts or more for the loss kto"
            )
        found.append(replace(ranking.sequences[0], completion_ids=other.sequences[0].completion_ids))
    return found


@torch.no_grad()
def reference_point(networks: Networks, sequences: Sequence[Encoded], config: DPOConfig) -> float:
    """KTO's z: the mean log-ratio of completions that belong to other prompts, at least 0. Nats per completion."""
    device, total = networks.policy.model.device, 0.0
    for start in range(0, len(sequences), config.micro_batch_size):
        part = sequences[start : start + config.micro_batch_size]
        batch = right_pad(part, networks.policy.pad_id, device)
        with loop.autocast(config.engine, device):
            total += float(log_ratios(networks, batch, of_mean=False).sum())
    return max(0.0, total / len(sequences))


def _train_step(
    networks: Networks, learner: loop.Learner, chosen: Sequence[EncodedRanking], kl: float, config: DPOConfig
) -> dict[str, float]:
    device = networks.policy.model.device
    forward = partial(log_ratios, networks, of_mean=config.loss == "ipo")
    sums: dict[str, float] = defaultdict(float)
    num_pairs = sum(ranking.num_pairs for ranking in chosen)

    def loss_sum(part: RankingBatch) -> Tensor:
        with loop.autocast(config.engine, device):
            found = in_chunks(forward, part.batch, config.completions_per_forward)  # (M,)
        rewards = config.beta * found.detach()
        sums["accuracy"] += float((rewards[part.winners] > rewards[part.losers]).sum()) / num_pairs
        sums["reward_chosen"] += float(rewards[part.winners].sum()) / num_pairs
        sums["reward_rejected"] += float(rewards[part.losers].sum()) / num_pairs
        return loss_of(found, part, kl, config)

    size = distributed.micro_batch_size(config.micro_batch_size, len(chosen))
    parts = (collate(part, networks.policy.pad_id, device) for part in rankings.parts(chosen, size))
    total_weight = sum(ranking.weight for ranking in chosen)
    loss = loop.accumulate(parts, loss_sum, total_weight, lambda part: part.ranking_ids, sums)
    learning_rate = learner.learning_rate
    gradient_norm = learner.apply([ranking.row["ranking_id"] for ranking in chosen])
    step = {"loss": loss, "learning_rate": learning_rate, "gradient_norm": gradient_norm}
    return step | sums | ({"kl": kl} if config.loss == "kto" else {})


@torch.no_grad()
def held_out_numbers(
    networks: Networks, held_out: Sequence[EncodedRanking], others: Sequence[Encoded], config: DPOConfig
) -> dict[str, float]:
    """The loss of held-out rankings by weight, and the share of their pairs that implicit rewards order right.

    others: completions of other prompts, for KTO's reference point; a batch of them is asked.
    """
    device = networks.policy.model.device
    kl = reference_point(networks, others[: config.batch_size], config) if others else 0.0
    loss = right = 0.0
    for part in rankings.parts(held_out, config.micro_batch_size):
        batch = collate(part, networks.policy.pad_id, device)
        with loop.autocast(config.engine, device):
            found = in_chunks(
                partial(log_ratios, networks, of_mean=config.loss == "ipo"), batch.batch, config.completions_per_forward
            )
        loss += float(loss_of(found, batch, kl, config))
        right += float((found[batch.winners] > found[batch.losers]).sum())
    total_weight, num_pairs = sum(r.weight for r in held_out), sum(r.num_pairs for r in held_out)
    return {"loss": loss / total_weight, "accuracy": right / num_pairs}


def loss_of(found: Tensor, batch: RankingBatch, kl: float, config: DPOConfig) -> Tensor:
    """The loss of `config`, summed over rankings by weight. found: (M,), as `log_ratios`. Returns a scalar."""
    pairs = batch.winners, batch.losers, batch.pair_weights
    if config.loss == "dpo":
        return dpo_loss(found, *pairs, config.beta, config.label_smoothing)
    if config.loss == "ipo":
        return ipo_loss(found, *pairs, config.beta)
    half = batch.pair_weights / 2  # a comparison is one desirable and one undesirable completion
    nothing = torch.zeros_like(found)
    return kto_loss(
        found,
        config.desirable_weight * nothing.index_add(0, batch.winners, half),
        config.undesirable_weight * nothing.index_add(0, batch.losers, half),
        kl,
        config.beta,
    )


@torch.no_grad()
def _implicit_rewards(networks: Networks, held_out: Sequence[EncodedRanking], config: DPOConfig) -> Tensor:
    """beta log(pi / pi_ref) of every held-out completion (a mean over tokens for IPO), (N,) float64 on the CPU."""
    device, found = networks.policy.model.device, [torch.zeros(0, dtype=torch.float64)]
    for part in rankings.parts(held_out, config.micro_batch_size):
        sequences, places = distinct(part)
        batch = right_pad(sequences, networks.policy.pad_id, device)
        with loop.autocast(config.engine, device):
            found.append(config.beta * log_ratios(networks, batch, config.loss == "ipo").double().cpu()[places])
    return torch.cat(found)
