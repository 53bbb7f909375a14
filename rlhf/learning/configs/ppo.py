"""PPO."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from rlhf.learning.configs.engine import EngineConfig, OptimizerConfig, TextConfig
from rlhf.learning.configs.errors import check_batches, require, require_local
from rlhf.learning.configs.lora import LoRAConfig
from rlhf.learning.configs.rewards import RewardsConfig


@dataclass(frozen=True)
class PPOConfig:
    """PPO with a value model started from the reward model. In: data/prompts.parquet (and data/targets.parquet for
    verifiers and safety tags, data/corpus.parquet or data/demonstrations.parquet for `ptx_coefficient`). Out: model/,
    value/."""

    model: str
    reward_model: str
    sft_model: str  # KL to it is logged; it is the reference where kl_reference is "sft"
    engine: EngineConfig = field(default_factory=lambda: EngineConfig(checkpoint_every=4))
    text: TextConfig = field(default_factory=TextConfig)
    optimizer: OptimizerConfig = field(
        default_factory=lambda: OptimizerConfig(learning_rate=1e-6, schedule="constant", warmup_share=0.0)
    )
    rewards: RewardsConfig = field(default_factory=RewardsConfig)  # what counts besides the reward model
    lora: LoRAConfig | None = None  # None: every weight is trained
    value_learning_rate: float = 1e-5
    backend: Literal["local", "openai", "vllm"] = "local"  # who samples rollouts; a server can't, and is refused
    temperature: float = 1.0  # of rollouts; log-probabilities everywhere are taken at it
    num_iterations: int = 200
    rollouts_per_iteration: int = 512
    num_epochs: int = 1  # passes over one iteration's rollouts
    minibatch_size: int = 64  # rollouts per optimiser step
    micro_batch_size: int = 64  # rollouts per forward
    clip_range: float = 0.2
    value_clip_range: float = 0.2
    value_coefficient: float = 0.1  # lm-human-preferences; the networks are separate, it scales value gradients
    gamma: float = 1.0  # undiscounted
    gae_lambda: float = 0.95
    kl_reference: Literal["start", "sft"] = "start"
    kl_coefficient: float = 0.02  # initial value where kl_target is given
    kl_target: float | None = None  # nats per completion; None keeps the coefficient fixed
    kl_horizon: int = 10_000  # episodes
    missing_eos_score: float | None = -1.0  # score of a completion without end-of-text; None: the reward model's
    whiten_rewards: bool = False
    # PPO-ptx (InstructGPT, equation 2): every optimiser step also descends this much of the mean negative
    # log-likelihood of data/corpus.parquet, or of data/demonstrations.parquet where there is none, nats a token.
    # InstructGPT: 27.8, on its pre-training data.
    ptx_coefficient: float = 0.0
    ptx_batch_size: int = 64  # pieces of texts, or demonstrations, beside each minibatch
    ptx_loss_on: Literal["completion", "all"] = "all"  # of a demonstration's tokens; of texts all count
    ema_decay: float | None = None  # model/ is then the running mean of the policy, one step an iteration
    max_kl: float | None = None  # nats per completion to the reference; past it the run ends, before another update
    max_update_kl: float | None = None  # nats per token to the rollouts' policy; past it an iteration's updates end
    held_out_reward_model: str | None = None  # scores rollouts for the alarm on over-optimisation, and nothing else

    def __post_init__(self) -> None:
        require_local(self.backend)
        check_batches(self.model, self.num_epochs, self.minibatch_size, self.micro_batch_size)
        require(bool(self.reward_model), "reward_model: expected a path, found nothing")
        require(bool(self.sft_model), "sft_model: expected a name or a path, found nothing")
        require(self.num_iterations >= 1, f"num_iterations: expected at least 1, found {self.num_iterations}")
        require(
            self.rollouts_per_iteration % self.minibatch_size == 0,
            f"rollouts_per_iteration: expected a multiple of minibatch_size={self.minibatch_size}, "
            f"found {self.rollouts_per_iteration}",
        )
        require(self.temperature > 0, f"temperature: expected more than 0, found {self.temperature}")
        require(self.kl_coefficient >= 0, f"kl_coefficient: expected 0 or more, found {self.kl_coefficient}")
        require(
            self.kl_target is None or self.kl_target > 0, f"kl_target: expected more than 0, found {self.kl_target}"
        )
        require(self.kl_horizon >= 1, f"kl_horizon: expected at least 1, found {self.kl_horizon}")
        require(
            self.value_learning_rate > 0, f"value_learning_rate: expected more than 0, found {self.value_learning_rate}"
        )
        require(self.value_clip_range > 0, f"value_clip_range: expected more than 0, found {self.value_clip_range}")
        require(self.value_coefficient >= 0, f"value_coefficient: expected 0 or more, found {self.value_coefficient}")
        require(self.ptx_coefficient >= 0, f"ptx_coefficient: expected 0 or more, found {self.ptx_coefficient}")
        require(self.ptx_batch_size >= 1, f"ptx_batch_size: expected at least 1, found {self.ptx_batch_size}")
        for name in ("max_kl", "max_update_kl"):
            limit = getattr(self, name)
            require(limit is None or limit > 0, f"{name}: expected more than 0, found {limit}")
        decay = self.ema_decay
        require(decay is None or 0 < decay < 1, f"ema_decay: expected 0 < x < 1, found {decay}")
        require(0 < self.clip_range < 1, f"clip_range: expected 0 < x < 1, found {self.clip_range}")
        require(0 <= self.gamma <= 1, f"gamma: expected 0 <= x <= 1, found {self.gamma}")
        require(0 <= self.gae_lambda <= 1, f"gae_lambda: expected 0 <= x <= 1, found {self.gae_lambda}")
