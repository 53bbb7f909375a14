"""Rollouts of PPO: what the policy wrote in one iteration, and every number about it that the update needs.

Every forward (old, reference, value, update) takes the same micro-batches of rollouts of like length, padded to their
own longest: equal weights then give equal log-probabilities to the bit, so the first ratio is exactly 1 and the KL to
the policy itself exactly 0. What the sampler saw (cached decoding) feeds a gap metric only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import torch
from torch import Tensor
from transformers import PreTrainedModel

from rlhf.learning import loop
from rlhf.learning.policy import Policy, completion_log_probabilities, completion_log_probabilities_and_entropy
from rlhf.learning.reward_model import RewardModel, completion_values, last_token_scores
from rlhf.learning.sampling import Prompt, Sample, mix, sample
from rlhf.learning.text import Batch, Encoded, right_pad


@dataclass(frozen=True)
class Rollouts:
    """B rollouts of one iteration, completions padded to C tokens; values at padding are 0."""

    batch: Batch
    finished: Tensor  # (B,) bool, True where end-of-text was written
    sampler_log_probabilities: Tensor  # (B,), sums over the completion, nats, as the sampler saw them


@dataclass(frozen=True)
class Measured:
    """What the frozen networks and the policy before its update say about the rollouts."""

    log_probabilities: Tensor  # (B, C), of the policy that wrote them, by the trainer's forward
    entropies: Tensor  # (B, C)
    reference_log_probabilities: Tensor  # (B, C)
    sft_log_probabilities: Tensor  # (B, C)
    values: Tensor  # (B, C), V(s_t) before token t
    scores: Tensor  # (B,), normalised, of whole completions


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
) -> Rollouts:
    """Sample one completion for each drawn prompt; a prompt comes once per pass, so its noise is (seed, pass, prompt
    id)."""
    samples: list[Sample] = []
    for number, group in groupby(drawn, key=lambda pair: pair[0]):
        samples += sample(
            policy,
            [prompts[index] for _, index in group],
            num_samples=1,
            temperature=temperature,
            max_new_tokens=max_new_tokens,
            seed=mix(seed, number),
            batch_size=batch_size,
        )
    device = policy.model.device
    sequences = [
        Encoded(done.prompt_id, prompts[index].ids, done.ids) for done, (_, index) in zip(samples, drawn, strict=True)
    ]
    # Shortest first: micro-batches, which keep this order, then hold rows of like length.
    order = sorted(range(len(drawn)), key=lambda row: (sequences[row].length, row))
    sequences, samples = [sequences[row] for row in order], [samples[row] for row in order]
    return Rollouts(
        batch=right_pad(sequences, policy.pad_id, device),
        finished=torch.tensor([done.finished for done in samples], device=device),
        sampler_log_probabilities=torch.tensor([done.log_probability for done in samples], device=device),
    )


def take(batch: Batch, rows: Sequence[int]) -> Batch:
    """Some rows of a batch, as wide as the longest of them; completions keep their full width C."""
    width = int(batch.lengths[rows].max())
    return replace(
        batch,
        row_ids=[batch.row_ids[row] for row in rows],
        input_ids=batch.input_ids[rows, :width],
        prompt_lengths=batch.prompt_lengths[rows],
        lengths=batch.lengths[rows],
        token_mask=batch.token_mask[rows, :width],
        predicts=batch.predicts[rows, :width],
        completion_ids=batch.completion_ids[rows],
        completion_mask=batch.completion_mask[rows],
    )


def minibatches(num_rollouts: int, size: int, seed: int, epoch: int) -> list[list[int]]:
    """The rows of each optimiser step of one pass over the rollouts, ascending; `epoch` counts over the whole run."""
    order = loop.epoch_order(num_rollouts, seed, epoch)
    return [sorted(order[start : start + size]) for start in range(0, num_rollouts, size)]


def micro_batches(rows: Sequence[int], size: int) -> Iterator[list[int]]:
    """The rows of each forward of one optimiser step."""
    return (list(rows[start : start + size]) for start in range(0, len(rows), size))


@torch.no_grad()
def measure(
    rollouts: Rollouts,
    partition: Sequence[Sequence[int]],
    policy: PreTrainedModel,
    reference: PreTrainedModel,
    sft: PreTrainedModel,
    reward: RewardModel,
    value: RewardModel,
    temperature: float,
) -> Measured:
    """Forward every network over the micro-batches of `partition`, which holds every row once.

    A network that is given twice (the reference is often the SFT policy) is asked once.
    """
    parts: list[tuple[Tensor, ...]] = []
    for rows in partition:
        batch = take(rollouts.batch, rows)
        log_probabilities, entropies = completion_log_probabilities_and_entropy(policy, batch, temperature)
        of_reference = completion_log_probabilities(reference, batch, temperature)
        of_sft = of_reference if sft is reference else completion_log_probabilities(sft, batch, temperature)
        scores = reward.normalised(last_token_scores(reward, batch))
        parts.append((log_probabilities, entropies, of_reference, of_sft, completion_values(value, batch), scores))
    order = torch.tensor([row for rows in partition for row in rows], device=rollouts.finished.device)
    back = torch.argsort(order)
    return Measured(*(torch.cat(columns)[back] for columns in zip(*parts, strict=True)))
