"""Who takes part in a `ppo` run: networks, loaded and checked against each other, and the prompts to train on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from rlhf.learning import lora, reward_model, tables
from rlhf.learning import rewards as worth
from rlhf.learning.configs import InputError, PPOConfig, TextConfig
from rlhf.learning.policy import Policy, load_policy, require_room
from rlhf.learning.reading import PROMPT, read_split, reader
from rlhf.learning.reward_model import RewardModel
from rlhf.learning.rewards import Rewards
from rlhf.learning.sampling import Prompt
from rlhf.learning.vocabulary import require_same_tokens


class NoPrompts(InputError):
    """A prompts file without a training prompt."""


@dataclass(frozen=True)
class Networks:
    """The networks of a run; only policy and value are trained."""

    policy: Policy
    reference: PreTrainedModel  # with LoRA it may be the policy's own model, asked with the adapter off
    sft: PreTrainedModel
    value: RewardModel
    rewards: Rewards
    held_out: RewardModel | None  # another reward model that nothing is trained on, see `held_out_reward_model`


def load(folder: Path, config: PPOConfig, device: torch.device) -> Networks:
    """Every network of the run; only policy and value get gradients.

    Raises:
        ModelError: one that doesn't load. OtherTokens: two that don't mean the same by a token id.
    """
    policy = load_policy(config.model, device)
    require_room(policy.model, config.text)
    if config.lora is None:
        start = load_policy(config.model, device)  # from disk again: a resumed policy has moved
    else:
        lora.add(policy.model, config.lora, config.engine.seed)
        start = policy  # with the adapter off
    sft = start if config.sft_model == config.model else load_policy(config.sft_model, device)
    targets = folder / "data" / "targets.parquet"
    rewards = worth.load(config.rewards, config.reward_model, config.model, policy.tokenizer, targets, device)
    value = reward_model.load_trained(config.reward_model, device)
    if config.lora is not None:
        lora.add(value.network, config.lora, config.engine.seed + 1, reward_model.HEAD)
    require_same_tokens(config.model, policy.tokenizer, config.sft_model, sft.tokenizer)
    for frozen in (start, sft):
        if frozen is not policy:
            frozen.model.requires_grad_(False)
    held_out = None
    if config.held_out_reward_model is not None:
        held_out = reward_model.load_trained(config.held_out_reward_model, device)
        require_same_tokens(config.model, policy.tokenizer, config.held_out_reward_model, held_out.tokenizer)
    reference = start if config.kl_reference == "start" else sft
    return Networks(policy, reference.model, sft.model, value, rewards, held_out)


def read_prompts(folder: Path) -> list[dict[str, Any]]:
    """Every row of data/prompts.parquet, of both splits."""
    return read_split(folder / "data" / "prompts.parquet", tables.PROMPTS, "prompt_id")


def read_training_prompts(folder: Path, policy: Policy, text: TextConfig) -> list[Prompt]:
    rows = [row for row in read_prompts(folder) if row["split"] == "train"]
    if not rows:
        raise NoPrompts(f"{folder}/data/prompts.parquet: found no prompt of the train split, expected at least one")
    as_read = reader(policy.model, policy.tokenizer, text, PROMPT)
    return [Prompt(row["prompt_id"], as_read.prompt(row["prompt_id"], row["prompt"])) for row in rows]
