"""Judging pairs, and estimating win rates from verdicts."""

from __future__ import annotations

from dataclasses import dataclass, field

from rlhf.learning.configs.engine import EngineConfig, TextConfig
from rlhf.learning.configs.errors import require


@dataclass(frozen=True)
class JudgeConfig:
    """Pairs scored by a reward model. In: data/pairs.parquet. Out: rows.parquet."""

    reward_model: str
    engine: EngineConfig = field(default_factory=EngineConfig)
    text: TextConfig = field(default_factory=TextConfig)
    batch_size: int = 256

    def __post_init__(self) -> None:
        require(bool(self.reward_model), "reward_model: expected a path, found nothing")
        require(self.batch_size >= 1, f"batch_size: expected at least 1, found {self.batch_size}")


@dataclass(frozen=True)
class EstimateConfig:
    """Win rates with intervals. In: data/verdicts.parquet. Out: rows.parquet. Needs no torch."""

    confidence: float = 0.95

    def __post_init__(self) -> None:
        require(0.5 <= self.confidence < 1, f"confidence: expected 0.5 <= x < 1, found {self.confidence}")
