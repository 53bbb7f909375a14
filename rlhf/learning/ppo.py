"""A `ppo` run: PPO against a reward model, with a value model that starts as a copy of it.

Stiennon et al. 2020 and InstructGPT on the details of lm-human-preferences. Departures: the reference of the KL
penalty is by default the policy that this run starts from (`kl_reference`), with the KL to the SFT policy logged
beside it; the score lies on the last real token, end-of-text included; advantages are whitened over all tokens of an
iteration, not of a minibatch; policy and value are separate networks with an optimiser each.
"""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from rlhf.learning import actors, loop, needs, reward_model, samples
from rlhf.learning import rewards as worth
from rlhf.learning.actors import Networks
from rlhf.learning.advantages import (
    explained_variance,
    generalized_advantages,
    next_kl_coefficient,
    token_rewards,
    whiten,
)
from rlhf.learning.averaging import average_in, start_average
from rlhf.learning.configs import PPOConfig
from rlhf.learning.diagnostics import of_rollouts, truncated_share
from rlhf.learning.forward import completion_log_probabilities
from rlhf.learning.history import History
from rlhf.learning.losses import policy_loss, value_loss
from rlhf.learning.mixing import Mixture, add_gradients, read_mixture
from rlhf.learning.policy import save_policy
from rlhf.learning.preparation import prepare
from rlhf.learning.reward_model import RewardModel, completion_values, last_token_scores
from rlhf.learning.rollouts import (
    Measured,
    Rollouts,
    measure,
    micro_batches,
    minibatches,
    prompts_of_iteration,
    roll_out,
    take,
)
from rlhf.learning.sampling import Prompt


@dataclass(frozen=True)
class Targets:
    """What the update aims at: (B, C) each, 0 at padding."""

    old_log_probabilities: Tensor
    old_values: Tensor
    advantages: Tensor  # whitened
    returns: Tensor


def run(folder: Path, config: PPOConfig) -> None:
    """Train, and write model/, value/ and the result."""
    device = loop.set_up(config.engine)
    estimate = needs.require(folder, config)
    # 1. Networks, prompts, optimisers; then back to where an earlier attempt stopped.
    networks = actors.load(folder, config, device)
    prompts = actors.read_training_prompts(folder, networks.policy, config.text)
    worth.require_targets(networks.rewards, [prompt.prompt_id for prompt in prompts])
    mixture = read_mixture(folder, networks.policy, config)
    steps = config.num_iterations * config.num_epochs * config.rollouts_per_iteration // config.minibatch_size
    average = None if config.ema_decay is None else start_average(networks.policy.model)
    prepare(config.engine, *_models(networks), *([] if average is None else [average]))
    policy = loop.Learner(networks.policy.model, config.optimizer, steps)
    value = loop.Learner(networks.value.network, config.optimizer, steps, config.value_learning_rate)
    models = {"policy": networks.policy.model, "value": networks.value.network}
    work = loop.Run(folder, "ppo", config.engine, config.num_iterations)
    state = work.resume(
        models if average is None else models | {"average": average}, {"policy": policy, "value": value}
    )
    kl_coefficient = float(state.get("kl_coefficient", config.kl_coefficient))
    history = History(state)
    if history.lines and history.lines[-1]["stopped_early"]:  # SIGTERM came in the iteration that spent the KL budget
        work.total_steps = work.step
    work.log_first("estimate", estimate)
    every_prompt = actors.read_prompts(folder)
    samples.watch(work, networks.policy, every_prompt, config.text, config.temperature, worth.models(networks.rewards))
    # 2. Iterations.
    while work.step < work.total_steps:
        metrics = _iterate(networks, policy, value, mixture, prompts, kl_coefficient, work.step, config)
        metrics["truncated_prompts"] = truncated_share(prompts, config.text.max_prompt_tokens)
        history.add(work, metrics)
        if config.kl_target is not None:
            kl_coefficient = next_kl_coefficient(
                kl_coefficient, metrics["kl"], config.kl_target, config.kl_horizon, config.rollouts_per_iteration
            )
        if average is not None and config.ema_decay is not None:
            average_in(average, networks.policy.model, config.ema_decay)
        if metrics["stopped_early"]:
            work.total_steps = work.step + 1
        work.end_step("train", metrics, {"kl_coefficient": kl_coefficient} | history.state)
    # 3. Results.
    save_policy(networks.policy if average is None else replace(networks.policy, model=average), folder / "model")
    reward_model.save(networks.value, folder / "value")
    work.finish(history.result, ["model", "value"])


def _models(networks: Networks) -> list[PreTrainedModel]:
    scored = [networks.value, *worth.models(networks.rewards), *([networks.held_out] if networks.held_out else [])]
    return [networks.policy.model, networks.reference, networks.sft, *(model.network for model in scored)]


def _iterate(
    networks: Networks,
    policy: loop.Learner,
    value: loop.Learner,
    mixture: Mixture | None,
    prompts: list[Prompt],
    kl_coefficient: float,
    iteration: int,
    config: PPOConfig,
) -> dict[str, float]:
    started = time.perf_counter()
    seed, num_rollouts = config.engine.seed, config.rollouts_per_iteration
    # 1. Rollouts, from every prompt in turn.
    drawn = prompts_of_iteration(len(prompts), num_rollouts, seed, iteration)
    with loop.autocast(config.engine, networks.policy.model.device):
        rollouts = roll_out(
            networks.policy, prompts, drawn, config.temperature, config.text.max_completion_tokens, seed, num_rollouts
        )
    # 2. What every network says about them, in the micro-batches that the first pass of the update will take.
    first_epoch = iteration * config.num_epochs
    passes = [minibatches(num_rollouts, config.minibatch_size, seed, first_epoch + e) for e in range(config.num_epochs)]
    partition = [part for rows in passes[0] for part in micro_batches(rollouts.batch, rows, config.micro_batch_size)]
    with loop.autocast(config.engine, rollouts.finished.device):
        measured = measure(
            rollouts,
            partition,
            networks.policy.model,
            networks.reference,
            networks.sft,
            networks.value,
            config.temperature,
        )
        scores = worth.score(networks.rewards, rollouts.batch, partition)
    # 3. Scores, rewards, advantages.
    scores = end_of_text_rule(scores, rollouts.finished, config.missing_eos_score)
    rewards, targets = _aim(rollouts, measured, scores, kl_coefficient, config)
    metrics = _metrics(rollouts, measured, scores, rewards, targets)
    if networks.held_out is not None:
        metrics["held_out_score"] = _held_out_score(networks.held_out, rollouts, partition, config)
    # 4. Updates; none where the KL budget is spent, and no more where the policy has moved too far from the rollouts.
    learning_rate = policy.learning_rate
    stops = config.max_kl is not None and metrics["kl"] > config.max_kl
    updates: list[dict[str, float]] = []
    for rows in [] if stops else sum(passes, []):
        updates.append(_update(networks, policy, value, mixture, rollouts, targets, rows, config))
        if config.max_update_kl is not None and updates[-1]["approximate_kl"] > config.max_update_kl:
            break
    # 5. Metrics.
    if updates:
        metrics |= {name: sum(update[name] for update in updates) / len(updates) for name in updates[0]}
        metrics |= {"first_ratio": updates[0]["ratio"], "first_approximate_kl": updates[0]["approximate_kl"]}
    tokens_per_second = rollouts.batch.num_completion_tokens / (time.perf_counter() - started)
    return metrics | {
        "num_updates": len(updates),
        "stopped_early": int(stops),
        "kl_coefficient": kl_coefficient,
        "learning_rate": learning_rate,
        "tokens_per_second": tokens_per_second,
    }


def end_of_text_rule(scores: Tensor, finished: Tensor, missing_eos_score: float | None) -> Tensor:
    """A completion without end-of-text gets a fixed score (Stiennon et al. 2020; 2403.17031, detail 23).

    scores: (B,). finished: (B,) bool. missing_eos_score: None keeps the reward model's own score. Returns (B,).
    """
    assert scores.shape == finished.shape, (scores.shape, finished.shape)
    return scores if missing_eos_score is None else scores.masked_fill(~finished, missing_eos_score)


def _aim(
    rollouts: Rollouts, measured: Measured, scores: Tensor, kl_coefficient: float, config: PPOConfig
) -> tuple[Tensor, Targets]:
    """Rewards as they are, (B, C), and the targets that follow from them (from whitened ones where that is asked
    for)."""
    mask = rollouts.batch.completion_mask
    rewards = token_rewards(
        scores, measured.log_probabilities, measured.reference_log_probabilities, mask, kl_coefficient
    )
    advantages, returns = generalized_advantages(
        whiten(rewards, mask, shift_mean=False) if config.whiten_rewards else rewards,
        measured.values,
        mask,
        config.gamma,
        config.gae_lambda,
    )
    advantages = whiten(advantages, mask, shift_mean=True)
    return rewards, Targets(measured.log_probabilities, measured.values, advantages, returns)


def _update(
    networks: Networks,
    policy: loop.Learner,
    value: loop.Learner,
    mixture: Mixture | None,
    rollouts: Rollouts,
    targets: Targets,
    rows: list[int],
    config: PPOConfig,
) -> dict[str, float]:
    """One optimiser step of policy and value model on one minibatch; losses are means over all of its tokens."""
    num_tokens = int(rollouts.batch.completion_mask[rows].sum())
    device = rollouts.finished.device
    metrics: dict[str, float] = defaultdict(float, ratio=1.0)

    def loss_of_policy(part: list[int]) -> Tensor:
        batch = take(rollouts.batch, part)
        width = batch.completion_mask.shape[1]
        with loop.autocast(config.engine, device):
            log_probabilities = completion_log_probabilities(networks.policy.model, batch, config.temperature)
        found = policy_loss(
            log_probabilities,
            targets.old_log_probabilities[part, :width],
            targets.advantages[part, :width],
            batch.completion_mask,
            config.clip_range,
            num_tokens,
        )
        metrics["ratio"] += float(found.ratio_minus_one)
        metrics["clip_fraction"] += float(found.clip_fraction)
        metrics["approximate_kl"] += float(found.approximate_kl)
        return found.loss

    def loss_of_value(part: list[int]) -> Tensor:
        batch = take(rollouts.batch, part)
        width = batch.completion_mask.shape[1]
        with loop.autocast(config.engine, device):
            values = completion_values(networks.value, batch)
        found = value_loss(
            values,
            targets.old_values[part, :width],
            targets.returns[part, :width],
            batch.completion_mask,
            config.value_clip_range,
            num_tokens,
        )
        metrics["value_loss"] += float(found.loss.detach())
        metrics["value_clip_fraction"] += float(found.clip_fraction)
        return config.value_coefficient * found.loss

    def prompt_ids(part: list[int]) -> list[int]:
        return [rollouts.batch.row_ids[row] for row in part]

    parts = micro_batches(rollouts.batch, rows, config.micro_batch_size)
    metrics["policy_loss"] = loop.accumulate(parts, loss_of_policy, 1.0, prompt_ids, metrics)
    if mixture is not None:
        metrics["ptx_loss"] = add_gradients(mixture, networks.policy, policy.step, config.engine)
    loop.accumulate(parts, loss_of_value, 1.0, prompt_ids, metrics)
    metrics["gradient_norm"] = policy.apply(prompt_ids(rows))
    metrics["value_gradient_norm"] = value.apply(prompt_ids(rows))
    return metrics


def _metrics(
    rollouts: Rollouts, measured: Measured, scores: Tensor, rewards: Tensor, targets: Targets
) -> dict[str, float]:
    mask = rollouts.batch.completion_mask
    sums = measured.log_probabilities.sum(1)  # (B,)
    numbers = {
        "score": scores.mean(),
        "reward": rewards.sum(1).mean(),
        "kl": (sums - measured.reference_log_probabilities.sum(1)).mean(),  # nats per completion
        "kl_sft": (sums - measured.sft_log_probabilities.sum(1)).mean(),
        "entropy": measured.entropies[mask].mean(),  # nats per token
        "length": mask.sum(1).float().mean(),
        "eos_rate": rollouts.finished.float().mean(),
        "sampler_gap": (sums - rollouts.sampler_log_probabilities).abs().mean(),
        "explained_variance": explained_variance(targets.old_values, targets.returns, mask),
    }
    found = of_rollouts(
        rollouts.batch.completion_ids, mask, scores, sums, rollouts.sampler_log_probabilities.to(sums.dtype)
    )
    return {name: float(number) for name, number in numbers.items()} | found


@torch.no_grad()
def _held_out_score(model: RewardModel, rollouts: Rollouts, partition: list[list[int]], config: PPOConfig) -> float:
    """Mean normalised score under a reward model that nothing is trained on; what doesn't end scores as it does for
    the policy, or learning to end would look like over-optimisation."""
    scores = torch.zeros(len(rollouts.finished), device=rollouts.finished.device)
    for rows in partition:
        with loop.autocast(config.engine, scores.device):
            scores[rows] = last_token_scores(model, take(rollouts.batch, rows))
    return float(end_of_text_rule(model.normalised(scores), rollouts.finished, config.missing_eos_score).mean())
