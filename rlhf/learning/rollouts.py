"""Rollouts of PPO: what the policy wrote in one iteration, and every number about it that the update needs.

All rollouts of an iteration are padded to one width, and every forward (old, reference, value, update) takes the
same micro-batches: equal weights then give equal log-probabilities to the bit, so the first ratio is exactly 1 and
the KL to the policy itself exactly 0. What the sampler saw (cached decoding) feeds a gap metric only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import torch
from torch import Tensor
from transformers import PreTrainedModel

from rlhf.learning import distributed, loop, lora
from rlhf.learning.forward import completion_log_probabilities, completion_log_probabilities_and_entropy
from rlhf.learning.noise import mix
from rlhf.learning.policy import Policy
from rlhf.learning.reward_model import (
    RewardModel,
    completion_values,
    groups_by_length,
)
from rlhf.learning.sampling import Prompt, Sample, sample
from rlhf.learning.text import Batch, Encoded, right_pad

NUM_LENGTH_GROUPS = 2  # forwards of a micro-batch, short rows apart from long ones; more cost more than they save


@dataclass(frozen=True)
class Rollouts:
    """B rollouts of one iteration, completions padded to C tokens; values at padding are 0."""

    batch: Batch
    finished: Tensor  # (B,) bool, True where end-of-text was written
    sampler_log_probabilities: Tensor  # (B,), sums over the completion, nats, as the sampler saw them


@dataclass(frozen=True)
class Measured:
    """What the frozen networks and the policy before its update say about the rollouts; 0 at padding."""

    log_probabilities: Tensor  # (B, C), of the policy that wrote them, by the trainer's forward
    entropies: Tensor  # (B, C)
    reference_log_probabilities: Tensor  # (B, C)
    sft_log_probabilities: Tensor  # (B, C)
    values: Tensor  # (B, C), V(s_t) before token t


def prompts_of_iteration(num_prompts: int, num_rollouts: int, seed: int, iteration: int) -> list[tuple[int, int]]:
    """(pass, prompt index) of each rollout: prompts are drawn without replacement, one shuffled pass after the
    other."""
    places = range(iteration * num_rollouts, (iteration + 1) * num_rollouts)
    orders = {place // num_prompts: loop.epoch_order(num_prompts, seed, place // num_prompts) for place in places}
    return [(place // num_prompts, orders[place // num_prompts][place % num_prompts]) for place in places]


def roll_out(
    policy: Policy,
    prompts: Sequence[Prompt],
    drawn: Sequence[tuple[int, int]],
    temperature: float,
    max_new_tokens: int,
    seed: int,
    batch_size: int,
    group_size: int = 1,
) -> Rollouts:
    """Sample `group_size` completions for each drawn prompt, those of a prompt one after the other.

    A prompt comes once per pass, so the noise of a completion is that of (seed, pass, prompt id, sample index).
    """
    samples: list[Sample] = []
    for number, group in groupby(drawn, key=lambda pair: pair[0]):
        samples += sample(
            policy,
            [prompts[index] for _, index in group],
            num_samples=group_size,
            temperature=temperature,
            max_new_tokens=max_new_tokens,
            seed=mix(seed, number),
            batch_size=batch_size,
        )
    device = policy.model.device
    sequences = [
        Encoded(done.prompt_id, prompts[drawn[place // group_size][1]].ids, done.ids)
        for place, done in enumerate(samples)
    ]
    return Rollouts(
        batch=right_pad(sequences, policy.pad_id, device),
        finished=torch.tensor([done.finished for done in samples], device=device),
        sampler_log_probabilities=torch.tensor([done.log_probability for done in samples], device=device),
    )


def take(batch: Batch, rows: Sequence[int]) -> Batch:
    """Some rows of a batch, without the columns that are padding in all of them."""
    chosen = list(rows)
    sizes = [batch.sizes[row] for row in chosen]
    width, completion_width = max(length for _, length in sizes), max(length - prompt for prompt, length in sizes)
    return replace(
        batch,
        row_ids=[batch.row_ids[row] for row in chosen],
        input_ids=batch.input_ids[chosen, :width],
        prompt_lengths=batch.prompt_lengths[chosen],
        lengths=batch.lengths[chosen],
        token_mask=batch.token_mask[chosen, :width],
        predicts=batch.predicts[chosen, :width],
        completion_ids=batch.completion_ids[chosen, :completion_width],
        completion_mask=batch.completion_mask[chosen, :completion_width],
        sizes=sizes,
        prompt_groups=[batch.prompt_groups[row] for row in chosen],
    )


def minibatches(num_rollouts: int, size: int, seed: int, epoch: int) -> list[list[int]]:
    """The rows of each optimiser step of one pass over the rollouts; `epoch` counts over the whole run."""
    order = loop.epoch_order(num_rollouts, seed, epoch)
    return [order[start : start + size] for start in range(0, num_rollouts, size)]


def micro_batches(batch: Batch, rows: Sequence[int], size: int) -> list[list[int]]:
    """The rows of each forward of one optimiser step: at most `size`, rows of like length together to pad little."""
    size = distributed.micro_batch_size(size, len(rows))
    group = min(size, max(8, -(-size // NUM_LENGTH_GROUPS)))
    lengths = batch.lengths[list(rows)].tolist()
    return [[rows[index] for index in indices] for indices in groups_by_length(lengths, group)]


@torch.no_grad()
def measure(
    rollouts: Rollouts,
    partition: Sequence[list[int]],
    policy: PreTrainedModel,
    reference: PreTrainedModel,
    sft: PreTrainedModel,
    value: RewardModel,
    temperature: float,
) -> Measured:
    """Forward every network over the micro-batches of `partition`, which holds every row once.

    A network that is given twice (the reference is often the SFT policy) is asked once.
    """
    shape, device = rollouts.batch.completion_mask.shape, rollouts.finished.device
    empty = torch.zeros(shape, device=device)
    found = Measured(empty, empty.clone(), empty.clone(), empty.clone(), empty.clone())
    mine = distributed.share(partition)
    for rows, _ in mine:
        batch = take(rollouts.batch, rows)
        log_probabilities, entropies = completion_log_probabilities_and_entropy(policy, batch, temperature)
        with lora.start_of(reference, policy):
            of_reference = completion_log_probabilities(reference, batch, temperature)
        of_sft = of_reference if sft is reference else completion_log_probabilities(sft, batch, temperature)
        width = batch.completion_mask.shape[1]
        found.log_probabilities[rows, :width] = log_probabilities
        found.entropies[rows, :width] = entropies
        found.reference_log_probabilities[rows, :width] = of_reference
        found.sft_log_probabilities[rows, :width] = of_sft
        found.values[rows, :width] = completion_values(value, batch)
    distributed.merge(
        [rows for rows, counts in mine if counts],
        found.log_probabilities,
        found.entropies,
        found.reference_log_probabilities,
        found.sft_log_probabilities,
        found.values,
    )
    return found
