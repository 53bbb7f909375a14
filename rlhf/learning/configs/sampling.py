"""Sampling, and best-of-N upon it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from rlhf.learning.configs.engine import EngineConfig, OptimizerConfig, SamplingConfig, TextConfig
from rlhf.learning.configs.errors import check_batches, check_evaluation, require


@dataclass(frozen=True)
class SampleConfig:
    """Completions. In: data/prompts.parquet. Out: rows.parquet."""

    # A name or a path; none for a server that takes messages (interface chat) and whose tokenizer is its own business.
    model: str = ""
    engine: EngineConfig = field(default_factory=EngineConfig)
    text: TextConfig = field(default_factory=TextConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)

    def __post_init__(self) -> None:
        is_served = self.sampling.backend == "openai" and self.sampling.server.interface == "chat"
        require(bool(self.model) or is_served, "model: expected a name or a path, found nothing")


@dataclass(frozen=True)
class BestOfNConfig:
    """Rejection sampling: N completions per prompt, the best by reward kept, SFT on those.

    In: data/prompts.parquet, and data/bag.parquet where there is one. Out: model/, rows.parquet (every sample with its
    score), bag.parquet.
    """

    model: str
    reward_model: str  # path of a reward model
    engine: EngineConfig = field(default_factory=EngineConfig)
    text: TextConfig = field(default_factory=TextConfig)
    sampling: SamplingConfig = field(default_factory=lambda: SamplingConfig(num_samples=8))
    optimizer: OptimizerConfig = field(default_factory=lambda: OptimizerConfig(learning_rate=1e-5))
    temperatures: tuple[float, ...] = ()  # num_samples at each; empty: at sampling.temperature (Llama 2, Figure 8)
    # random: any answer that ended, of the same prompts. The control: what SFT on own answers does without the reward.
    select: Literal["best", "random"] = "best"
    # Distinct answers that are kept of every prompt, over this round and those of data/bag.parquet, and trained on;
    # 0: the best of this round alone (Llama 2, section 3.2.3, "incorporating top-performing samples from all rounds").
    bag_size: int = 0
    num_epochs: int = 1
    batch_size: int = 64
    micro_batch_size: int = 64
    # Steps between evaluations on the chosen answers to `held_out_share` of the prompts, which aren't trained on;
    # model/ is then the step where their loss was lowest. 0: the last step, trained on all.
    evaluate_every: int = 0
    held_out_share: float = 0.1

    def __post_init__(self) -> None:
        check_batches(self.model, self.num_epochs, self.batch_size, self.micro_batch_size)
        check_evaluation(self.evaluate_every)
        require(0 < self.held_out_share < 1, f"held_out_share: expected 0 < x < 1, found {self.held_out_share}")
        require(bool(self.reward_model), "reward_model: expected a path, found nothing")
        for temperature in self.temperatures:
            require(temperature > 0, f"temperatures: expected more than 0, found {temperature}")
        require(
            len(set(self.temperatures)) == len(self.temperatures),
            f"temperatures: expected each once, found {list(self.temperatures)}",
        )
        require(self.bag_size >= 0, f"bag_size: expected 0 or more, found {self.bag_size}")
        require(
            self.bag_size == 0 or self.select == "best",
            f"bag_size: expected 0 where select is random, found {self.bag_size}",
        )
        require(
            self.sampling.num_samples >= 2,
            f"sampling.num_samples: expected at least 2, found {self.sampling.num_samples}",
        )
