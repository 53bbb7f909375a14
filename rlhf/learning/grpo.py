"""A `grpo` run: GRPO or RLOO, on the rollouts of PPO and with no value model: a completion is measured against others
of the same prompt.

Departures from the papers: the reference is the policy that the run starts from; a completion without end-of-text gets
a fixed score, as in PPO; GRPO's loss is by default a mean over all tokens of an optimiser step (`loss_average`). Where
an iteration is one optimiser step, the old log-probabilities are those of the step's own forward: the ratio is 1 in any
case, and a forward is saved. Rewards that hold the KL need them before the step; then their graph waits for it, unless
that takes more memory than `micro_batch_size` allows.
"""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from rlhf.learning import distributed, loop, lora, needs, samples
from rlhf.learning import rewards as worth
from rlhf.learning.actors import read_prompts, read_training_prompts
from rlhf.learning.advantages import group_advantages
from rlhf.learning.configs import GRPOConfig
from rlhf.learning.diagnostics import of_rollouts, truncated_share
from rlhf.learning.forward import completion_log_probabilities, completion_log_probabilities_and_entropy
from rlhf.learning.history import History
from rlhf.learning.losses import PolicyLoss, grpo_loss, kl_estimate, rloo_loss
from rlhf.learning.policy import Policy, load_policy, require_room, save_policy
from rlhf.learning.ppo import end_of_text_rule
from rlhf.learning.preparation import prepare
from rlhf.learning.rewards import Rewards
from rlhf.learning.rollouts import Rollouts, micro_batches, minibatches, prompts_of_iteration, roll_out, take
from rlhf.learning.sampling import Prompt
from rlhf.learning.text import Batch


@dataclass(frozen=True)
class Networks:
    """The networks of a run; only the policy is trained."""

    policy: Policy
    reference: PreTrainedModel  # with LoRA the policy's own model, which `measure` asks with the adapter off
    rewards: Rewards


@dataclass(frozen=True)
class Measured:
    """What policy and reference say about the rollouts, (B, C) each, 0 at padding."""

    log_probabilities: Tensor  # of the policy that wrote them, by the trainer's forward
    entropies: Tensor
    reference_log_probabilities: Tensor
    by_update: bool  # the first two are still 0; the update's own forward fills them in
    # Where the update needs no forward: log-probabilities with their graph, by the first row of their micro-batch.
    kept: dict[int, Tensor] = field(default_factory=dict)


def run(folder: Path, config: GRPOConfig) -> None:
    """Train, and write model/ and the result."""
    device = loop.set_up(config.engine)
    estimate = needs.require(folder, config)
    # 1. Networks, prompts, optimiser; then back to where an earlier attempt stopped.
    networks = _load(folder, config, device)
    prompts = read_training_prompts(folder, networks.policy, config.text)
    worth.require_targets(networks.rewards, [prompt.prompt_id for prompt in prompts])
    steps = config.num_iterations * config.num_epochs * config.num_rollouts // config.minibatch_size
    learner = loop.Learner(networks.policy.model, config.optimizer, steps)
    work = loop.Run(folder, "grpo", config.engine, config.num_iterations)
    history = History(work.resume({"policy": networks.policy.model}, {"policy": learner}))
    work.log_first("estimate", estimate)
    every_prompt = read_prompts(folder)
    samples.watch(work, networks.policy, every_prompt, config.text, config.temperature, worth.models(networks.rewards))
    # 2. Iterations.
    while work.step < work.total_steps:
        metrics = _iterate(networks, learner, prompts, work.step, config)
        metrics["truncated_prompts"] = truncated_share(prompts, config.text.max_prompt_tokens)
        history.add(work, metrics)
        work.end_step("train", metrics, history.state)
    # 3. Results.
    save_policy(networks.policy, folder / "model")
    work.finish(history.result, ["model"])


def _load(folder: Path, config: GRPOConfig, device: torch.device) -> Networks:
    policy = load_policy(config.model, device)
    require_room(policy.model, config.text)
    if config.lora is not None:
        lora.add(policy.model, config.lora, config.engine.seed)
        reference = policy.model  # with the adapter off
    else:
        reference = load_policy(config.model, device).model.requires_grad_(False)  # from disk: a resumed one has moved
    rewards = worth.load(
        config.rewards,
        config.reward_model,
        config.model,
        policy.tokenizer,
        folder / "data" / "targets.parquet",
        device,
    )
    prepare(config.engine, policy.model, reference, *(model.network for model in worth.models(rewards)))
    return Networks(policy, reference, rewards)


def _iterate(
    networks: Networks, learner: loop.Learner, prompts: list[Prompt], iteration: int, config: GRPOConfig
) -> dict[str, float]:
    started = time.perf_counter()
    seed, num_rollouts, device = config.engine.seed, config.num_rollouts, networks.policy.model.device
    # 1. Rollouts: a group for each drawn prompt.
    drawn = prompts_of_iteration(len(prompts), config.prompts_per_iteration, seed, iteration)
    with loop.autocast(config.engine, device):
        rollouts = roll_out(
            networks.policy,
            prompts,
            drawn,
            config.temperature,
            config.text.max_completion_tokens,
            seed,
            num_rollouts,
            config.group_size,
        )
    # 2. What networks and rewards say about them, in the micro-batches that the first pass of the update will take.
    first_epoch = iteration * config.num_epochs
    passes = [minibatches(num_rollouts, config.minibatch_size, seed, first_epoch + e) for e in range(config.num_epochs)]
    partition = [part for rows in passes[0] for part in micro_batches(rollouts.batch, rows, config.micro_batch_size)]
    with loop.autocast(config.engine, device):
        measured = measure(networks, rollouts, partition, config)
        scores = worth.score(networks.rewards, rollouts.batch, partition)
    scores = end_of_text_rule(scores, rollouts.finished, config.missing_eos_score)
    # 3. Advantages.
    rewards = scores
    if not config.kl_in_loss:
        log_probabilities = measured.log_probabilities, measured.reference_log_probabilities
        rewards = scores - config.kl_coefficient * kl_estimate(*log_probabilities, config.estimator).sum(1)
    is_rloo = config.algorithm == "rloo"
    advantages = group_advantages(
        rewards, config.group_size, leave_one_out=is_rloo, scale=config.scale_advantages and not is_rloo
    )
    # 4. Updates.
    learning_rate = learner.learning_rate
    updates = [_update(networks, learner, rollouts, measured, advantages, rows, config) for rows in sum(passes, [])]
    # 5. Metrics.
    groups, sums = scores.reshape(-1, config.group_size), measured.log_probabilities.sum(1)
    numbers = {
        "score": scores.mean(),
        "reward": rewards.mean(),
        "score_spread": groups.std(1).mean(),  # within a group: 0 teaches nothing
        "kl": (sums - measured.reference_log_probabilities.sum(1)).mean(),  # nats per completion
        "entropy": measured.entropies[rollouts.batch.completion_mask].mean(),  # nats per token
        "length": rollouts.batch.completion_mask.sum(1).float().mean(),
        "eos_rate": rollouts.finished.float().mean(),
        "sampler_gap": (sums - rollouts.sampler_log_probabilities).abs().mean(),
    }
    metrics = {name: float(number) for name, number in numbers.items()}
    metrics |= of_rollouts(
        rollouts.batch.completion_ids,
        rollouts.batch.completion_mask,
        scores,
        sums,
        rollouts.sampler_log_probabilities.to(sums.dtype),
    )
    metrics |= {name: sum(update[name] for update in updates) / len(updates) for name in updates[0]}
    tokens_per_second = rollouts.batch.num_completion_tokens / (time.perf_counter() - started)
    return metrics | {
        "first_ratio": updates[0]["ratio"],
        "first_approximate_kl": updates[0]["approximate_kl"],
        "learning_rate": learning_rate,
        "tokens_per_second": tokens_per_second,
    }


@torch.no_grad()
def measure(networks: Networks, rollouts: Rollouts, partition: list[list[int]], config: GRPOConfig) -> Measured:
    """Ask the reference, and unless the update does, the policy, over the micro-batches of `partition`."""
    shape, device = rollouts.batch.completion_mask.shape, rollouts.finished.device
    empty, temperature = torch.zeros(shape, device=device), config.temperature
    by_update, keeps = _is_one_step(config) and config.kl_in_loss, keeps_graphs(networks, config)
    measured = Measured(empty, empty.clone(), empty.clone(), by_update)
    mine = distributed.share(partition)
    for rows, _ in mine:
        batch = take(rollouts.batch, rows)
        width = batch.completion_mask.shape[1]
        if not by_update:
            with torch.set_grad_enabled(keeps):
                found, entropies = completion_log_probabilities_and_entropy(networks.policy.model, batch, temperature)
            measured.log_probabilities[rows, :width], measured.entropies[rows, :width] = found.detach(), entropies
            if keeps:
                measured.kept[rows[0]] = found
        with lora.start_of(networks.reference, networks.policy.model):
            of_reference = completion_log_probabilities(networks.reference, batch, temperature)
        measured.reference_log_probabilities[rows, :width] = of_reference
    merged = [measured.reference_log_probabilities]
    merged += [] if by_update else [measured.log_probabilities, measured.entropies]
    distributed.merge([rows for rows, counts in mine if counts], *merged)
    return measured


def _update(
    networks: Networks,
    learner: loop.Learner,
    rollouts: Rollouts,
    measured: Measured,
    advantages: Tensor,
    rows: list[int],
    config: GRPOConfig,
) -> dict[str, float]:
    """One optimiser step on one minibatch, by a loss that is a mean over all of it."""
    weights = token_weights(rollouts.batch.completion_mask, rows, config.loss_average)
    metrics: dict[str, float] = defaultdict(float, ratio=1.0)

    def loss_of(part: list[int]) -> Tensor:
        batch = take(rollouts.batch, part)
        with loop.autocast(config.engine, rollouts.finished.device):
            found = _forward(networks.policy, batch, part, measured, config.temperature)
        loss = _loss(found, batch.completion_mask, weights, measured, advantages[part], part, len(rows), config)
        metrics["ratio"] += float(loss.ratio_minus_one)
        metrics["clip_fraction"] += float(loss.clip_fraction)
        metrics["approximate_kl"] += float(loss.approximate_kl)
        return loss.loss

    parts = micro_batches(rollouts.batch, rows, config.micro_batch_size)
    metrics["policy_loss"] = loop.accumulate(
        parts, loss_of, 1.0, lambda part: [rollouts.batch.row_ids[row] for row in part], metrics
    )
    if measured.by_update:
        done = [part for part, counts in distributed.share(parts) if counts]
        distributed.merge(done, measured.log_probabilities, measured.entropies)
    metrics["gradient_norm"] = learner.apply([rollouts.batch.row_ids[row] for row in rows])
    return metrics


def _is_one_step(config: GRPOConfig) -> bool:
    return config.num_epochs == 1 and config.minibatch_size == config.num_rollouts


def keeps_graphs(networks: Networks, config: GRPOConfig) -> bool:
    """Whether the policy is asked with gradients before the rewards are known. Weights in pieces want each backward
    right behind its forward."""
    fits = config.num_rollouts <= config.micro_batch_size
    sharded = distributed.is_sharded(networks.policy.model)
    return _is_one_step(config) and not config.kl_in_loss and fits and not sharded


def _forward(policy: Policy, batch: Batch, part: list[int], measured: Measured, temperature: float) -> Tensor:
    kept = measured.kept.pop(part[0], None)
    if kept is not None:
        return kept
    if not measured.by_update:
        return completion_log_probabilities(policy.model, batch, temperature)
    found, entropies = completion_log_probabilities_and_entropy(policy.model, batch, temperature)
    width = batch.completion_mask.shape[1]
    measured.log_probabilities[part, :width], measured.entropies[part, :width] = found.detach(), entropies
    return found


def token_weights(completion_mask: Tensor, rows: list[int], average: str) -> Tensor:
    """(B, C), summing to 1 over the tokens of `rows`: equal for all tokens, or for all completions."""
    mask = completion_mask.float()
    if average == "token":
        return mask / float(mask[rows].sum())
    return mask / (len(rows) * mask.sum(1, keepdim=True))


def _loss(
    log_probabilities: Tensor,
    mask: Tensor,
    weights: Tensor,
    measured: Measured,
    advantages: Tensor,
    part: list[int],
    num_rollouts: int,
    config: GRPOConfig,
) -> PolicyLoss:
    width = mask.shape[1]
    old = measured.log_probabilities[part, :width]
    if config.algorithm == "rloo":
        return rloo_loss(log_probabilities, old, advantages, mask, config.clip_range, num_rollouts)
    return grpo_loss(
        log_probabilities,
        old,
        measured.reference_log_probabilities[part, :width],
        advantages,
        mask,
        weights[part, :width],
        config.clip_range,
        config.kl_coefficient if config.kl_in_loss else 0.0,
        config.estimator,
    )
