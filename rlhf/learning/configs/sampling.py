"""Sampling, and best-of-N upon it."""

from __future__ import annotations

from dataclasses import dataclass, field

from rlhf.learning.configs.engine import EngineConfig, OptimizerConfig, SamplingConfig, TextConfig
from rlhf.learning.configs.errors import check_batches, require


@dataclass(frozen=True)
class SampleConfig:
    """Completions. In: data/prompts.parquet. Out: rows.parquet."""

    model: str
    engine: EngineConfig = field(default_factory=EngineConfig)
    text: TextConfig = field(default_factory=TextConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)

    def __post_init__(self) -> None:
        require(bool(self.model), "model: expected a name or a path, found nothing")


@dataclass(frozen=True)
class BestOfNConfig:
    """Rejection sampling: N completions per prompt, the best by reward kept, SFT on those.

    In: data/prompts.parquet. Out: model/, rows.parquet (every sample with its score).
    """

    model: str
    reward_model: str  # path of a reward model
    engine: EngineConfig = field(default_factory=EngineConfig)
    text: TextConfig = field(default_factory=TextConfig)
    sampling: SamplingConfig = field(default_factory=lambda: SamplingConfig(num_samples=8))
    optimizer: OptimizerConfig = field(default_factory=lambda: OptimizerConfig(learning_rate=1e-5))
    num_epochs: int = 1
    batch_size: int = 64
    micro_batch_size: int = 64

    def __post_init__(self) -> None:
        check_batches(self.model, self.num_epochs, self.batch_size, self.micro_batch_size)
        require(bool(self.reward_model), "reward_model: expected a path, found nothing")
        require(
            self.sampling.num_samples >= 2,
            f"sampling.num_samples: expected at least 2, found {self.sampling.num_samples}",
        )
