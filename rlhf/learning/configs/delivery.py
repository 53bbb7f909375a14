"""Weights as others load them."""

from __future__ import annotations

from dataclasses import dataclass, field

from rlhf.learning.configs.engine import EngineConfig
from rlhf.learning.configs.errors import require


@dataclass(frozen=True)
class DeliverConfig:
    """A saved adapter merged into the model that it belongs to. In: nothing. Out: model/."""

    model: str  # folder of a policy or a reward model
    engine: EngineConfig = field(default_factory=EngineConfig)

    def __post_init__(self) -> None:
        require(bool(self.model), "model: expected a name or a path, found nothing")
