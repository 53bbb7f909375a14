"""Reward models."""

from __future__ import annotations

from dataclasses import dataclass, field

from rlhf.learning.configs.engine import EngineConfig, OptimizerConfig, TextConfig
from rlhf.learning.configs.errors import check_batches


@dataclass(frozen=True)
class RewardConfig:
    """Reward model. In: data/rankings.parquet (with its split column). Out: model/, rows.parquet (held-out scores)."""

    model: str  # a policy (a new head is put on it) or an earlier reward model (its head is kept)
    engine: EngineConfig = field(default_factory=EngineConfig)
    text: TextConfig = field(default_factory=TextConfig)
    optimizer: OptimizerConfig = field(default_factory=lambda: OptimizerConfig(learning_rate=1e-5))
    num_epochs: int = 1
    batch_size: int = 64  # rankings per optimiser step
    micro_batch_size: int = 64  # rankings per forward

    def __post_init__(self) -> None:
        check_batches(self.model, self.num_epochs, self.batch_size, self.micro_batch_size)
