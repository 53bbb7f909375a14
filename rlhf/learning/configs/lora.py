"""Low-rank adapters."""

from __future__ import annotations

from dataclasses import dataclass

from rlhf.learning.configs.errors import require


@dataclass(frozen=True)
class LoRAConfig:
    """LoRA (2106.09685): W stays, and alpha / rank x B A is learned beside it. No dropout, as everywhere here."""

    rank: int = 16
    alpha: int = 32
    targets: tuple[str, ...] = ()  # names of layers, e.g. "q_proj"; none: every linear layer but the output layer

    def __post_init__(self) -> None:
        require(self.rank >= 1, f"lora.rank: expected at least 1, found {self.rank}")
        require(self.alpha > 0, f"lora.alpha: expected more than 0, found {self.alpha}")
        require(all(self.targets), "lora.targets: expected names of layers, found an empty one")
