"""Learning from preferences without a reward model: DPO, IPO and KTO."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from rlhf.learning.configs.engine import EngineConfig, OptimizerConfig, TextConfig
from rlhf.learning.configs.errors import check_batches, check_chunks, check_evaluation, require
from rlhf.learning.configs.lora import LoRAConfig


@dataclass(frozen=True)
class DPOConfig:
    """In: data/rankings.parquet. Out: model/, rows.parquet (implicit rewards of held-out completions)."""

    model: str  # the policy to start from, and the reference
    engine: EngineConfig = field(default_factory=EngineConfig)
    text: TextConfig = field(default_factory=TextConfig)
    optimizer: OptimizerConfig = field(
        default_factory=lambda: OptimizerConfig(learning_rate=1e-6, schedule="linear", warmup_share=0.1)
    )
    loss: Literal["dpo", "ipo", "kto"] = "dpo"
    beta: float = 0.1  # the strength of the pull to the reference; tau of the IPO paper
    label_smoothing: float = 0.0  # share of comparisons that are taken for mistakes; of dpo alone
    desirable_weight: float = 1.0  # lambda_D of KTO: of completions that won a comparison
    undesirable_weight: float = 1.0  # lambda_U: of those that lost one
    lora: LoRAConfig | None = None  # None: every weight is trained
    labeler_weights: dict[str, float] = field(default_factory=dict)  # times the row's weight; 1 for all others
    num_epochs: int = 1
    batch_size: int = 32  # rankings per optimiser step
    micro_batch_size: int = 32  # rankings per forward
    # Optimiser steps between evaluations on held-out rows; model/ is then the best of them. 0: the last step's weights.
    evaluate_every: int = 0
    choose_by: Literal["loss", "accuracy"] = "loss"  # what is best: the lowest held-out loss, or the highest accuracy
    completions_per_forward: int | None = None  # as in RewardConfig

    def __post_init__(self) -> None:
        check_batches(self.model, self.num_epochs, self.batch_size, self.micro_batch_size)
        check_evaluation(self.evaluate_every)
        require(self.beta > 0, f"beta: expected more than 0, found {self.beta}")
        require(
            0 <= self.label_smoothing < 0.5, f"label_smoothing: expected 0 <= x < 0.5, found {self.label_smoothing}"
        )
        require(
            self.loss == "dpo" or self.label_smoothing == 0,
            f"label_smoothing: expected 0 for {self.loss}, found {self.label_smoothing}",
        )
        for name in ("desirable_weight", "undesirable_weight"):
            require(getattr(self, name) > 0, f"{name}: expected more than 0, found {getattr(self, name)}")
        for labeler, weight in self.labeler_weights.items():
            require(0 <= weight < float("inf"), f"labeler_weights: expected 0 or more for {labeler}, found {weight}")
        check_chunks(self.completions_per_forward, self.engine.parallel)
