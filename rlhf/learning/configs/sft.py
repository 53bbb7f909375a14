"""Supervised fine-tuning."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from rlhf.learning.configs.engine import EngineConfig, OptimizerConfig, TextConfig
from rlhf.learning.configs.errors import check_batches, check_evaluation, require
from rlhf.learning.configs.lora import LoRAConfig


@dataclass(frozen=True)
class SFTConfig:
    """Supervised fine-tuning. In: data/demonstrations.parquet, data/corpus.parquet for `mix_share`. Out: model/."""

    model: str  # name or path, as `AutoModelForCausalLM.from_pretrained` takes it
    engine: EngineConfig = field(default_factory=EngineConfig)
    text: TextConfig = field(default_factory=TextConfig)
    optimizer: OptimizerConfig = field(default_factory=lambda: OptimizerConfig(learning_rate=2e-5))
    num_epochs: int = 2
    batch_size: int = 64  # demonstrations per optimiser step
    micro_batch_size: int = 64  # demonstrations per forward
    lora: LoRAConfig | None = None  # None: every weight is trained
    # Optimiser steps between evaluations on held-out rows; model/ is then the best of them. 0: the last step's weights.
    evaluate_every: int = 0
    loss_on: Literal["completion", "all"] = "completion"  # all: pre-training on a mixed corpus

    # Share of each step's rows that are texts of data/corpus.parquet, learned as in pre-training: the model that PPO
    # starts from is made so (InstructGPT, C.3: 0.1).
    mix_share: float = 0.0

    def __post_init__(self) -> None:
        check_batches(self.model, self.num_epochs, self.batch_size, self.micro_batch_size)
        check_evaluation(self.evaluate_every)
        require(0 <= self.mix_share < 1, f"mix_share: expected 0 <= x < 1, found {self.mix_share}")
        longest = self.text.max_prompt_tokens + self.text.max_completion_tokens
        require(self.mix_share == 0 or longest >= 2, f"text: expected 2 tokens or more for mix_share, found {longest}")
