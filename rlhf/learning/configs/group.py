"""GRPO and RLOO: policy gradients whose baseline is the other completions of the same prompt."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from rlhf.learning.configs.engine import EngineConfig, OptimizerConfig, TextConfig
from rlhf.learning.configs.errors import check_batches, require, require_local
from rlhf.learning.configs.lora import LoRAConfig
from rlhf.learning.configs.rewards import RewardsConfig


@dataclass(frozen=True)
class GRPOConfig:
    """In: data/prompts.parquet, and data/targets.parquet for verifiers. Out: model/."""

    model: str  # the policy to start from, and the reference
    reward_model: str | None = None  # None: the verifier alone decides
    engine: EngineConfig = field(default_factory=lambda: EngineConfig(checkpoint_every=4))
    text: TextConfig = field(default_factory=TextConfig)
    optimizer: OptimizerConfig = field(
        default_factory=lambda: OptimizerConfig(learning_rate=1e-6, schedule="constant", warmup_share=0.0)
    )
    rewards: RewardsConfig = field(default_factory=RewardsConfig)
    lora: LoRAConfig | None = None  # None: every weight is trained
    algorithm: Literal["grpo", "rloo"] = "grpo"
    backend: Literal["local", "openai", "vllm"] = "local"  # who samples rollouts; a server can't, and is refused
    temperature: float = 1.0  # of rollouts; log-probabilities everywhere are taken at it
    num_iterations: int = 200
    prompts_per_iteration: int = 64
    group_size: int = 8  # completions of each prompt
    num_epochs: int = 1  # passes over one iteration's rollouts
    minibatch_size: int = 512  # rollouts per optimiser step
    micro_batch_size: int = 64  # rollouts per forward
    clip_range: float = 0.2
    kl_coefficient: float = 0.04
    # auto: k3 in the loss for GRPO (2402.03300, equation 4), k1 in the reward for RLOO (2402.14740).
    kl_estimator: Literal["auto", "k1", "k2", "k3"] = "auto"
    kl_placement: Literal["auto", "loss", "reward"] = "auto"
    scale_advantages: bool = True  # of GRPO: by the group's standard deviation; False as in 2503.20783
    # Of GRPO. token: every token of the step counts the same (2503.14476). completion: every completion does, as in
    # the paper of GRPO, where the tokens of a long wrong answer cost less (2503.20783).
    loss_average: Literal["token", "completion"] = "token"
    missing_eos_score: float | None = -1.0  # score of a completion without end-of-text; None: that of the rewards

    def __post_init__(self) -> None:
        require_local(self.backend)
        check_batches(self.model, self.num_epochs, self.minibatch_size, self.micro_batch_size)
        require(self.reward_model != "", "reward_model: expected a path, found nothing")
        require(
            self.reward_model is not None or self.rewards.verifier != "none" or self.rewards.judge_url is not None,
            "reward_model: expected a path, or a verifier or a judge in rewards, found none",
        )
        require(
            self.reward_model is not None or not (self.rewards.models or self.rewards.safety_model),
            "rewards: expected further reward models beside a reward_model, found them alone",
        )
        require(self.temperature > 0, f"temperature: expected more than 0, found {self.temperature}")
        for name in ("num_iterations", "prompts_per_iteration"):
            require(getattr(self, name) >= 1, f"{name}: expected at least 1, found {getattr(self, name)}")
        require(self.group_size >= 2, f"group_size: expected at least 2, found {self.group_size}")
        require(
            self.num_rollouts % self.minibatch_size == 0,
            f"minibatch_size: expected a divisor of prompts_per_iteration x group_size = {self.num_rollouts}, "
            f"found {self.minibatch_size}",
        )
        require(0 < self.clip_range < 1, f"clip_range: expected 0 < x < 1, found {self.clip_range}")
        require(self.kl_coefficient >= 0, f"kl_coefficient: expected 0 or more, found {self.kl_coefficient}")

        require(
            self.kl_in_loss is False or self.estimator != "k1",
            "kl_estimator: expected k2 or k3 in the loss, found k1: its gradient is 0 on average",
        )
        require(
            self.algorithm == "grpo" or not self.kl_in_loss,
            f"kl_placement: expected reward for rloo, found {self.kl_placement}",
        )

    @property
    def kl_in_loss(self) -> bool:
        return self.kl_placement == "loss" or (self.kl_placement == "auto" and self.algorithm == "grpo")

    @property
    def estimator(self) -> str:
        """The estimator that `auto` means."""
        if self.kl_estimator != "auto":
            return self.kl_estimator
        return "k3" if self.kl_in_loss else "k1"

    @property
    def num_rollouts(self) -> int:
        """Of one iteration."""
        return self.prompts_per_iteration * self.group_size
