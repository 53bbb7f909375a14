"""Reward models."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from rlhf.learning.configs.engine import EngineConfig, OptimizerConfig, TextConfig
from rlhf.learning.configs.errors import check_batches, check_chunks, check_evaluation, require
from rlhf.learning.configs.lora import LoRAConfig


@dataclass(frozen=True)
class RewardConfig:
    """Reward model. In: data/rankings.parquet (with its split column); data/demonstrations.parquet where there is one.

    Out: model/, rows.parquet (held-out scores).
    """

    model: str  # a policy (a new head is put on it) or an earlier reward model (its head is kept)
    engine: EngineConfig = field(default_factory=EngineConfig)
    text: TextConfig = field(default_factory=TextConfig)
    optimizer: OptimizerConfig = field(default_factory=lambda: OptimizerConfig(learning_rate=1e-5))
    num_epochs: int = 1
    batch_size: int = 64  # rankings per optimiser step
    micro_batch_size: int = 64  # rankings per forward
    # Optimiser steps between evaluations on held-out rows; model/ is then the best of them. 0: the last step's weights.
    evaluate_every: int = 0
    choose_by: Literal["loss", "accuracy"] = "loss"  # what is best: the lowest held-out loss, or the highest accuracy
    # Completions whose activations are held at once; None: those of a micro-batch. Fewer cost a second forward, and
    # change no number: scores are made without graph, and their gradients backpropagated chunk by chunk.
    completions_per_forward: int | None = None
    lora: LoRAConfig | None = None  # None: every weight is trained
    margin: Literal["off", "small", "large"] = "off"  # from the labelers' strength, Llama 2, Table 27
    # drop: tied pairs aren't trained on (InstructGPT); else they are a third outcome with a likelihood of its own.
    ties: Literal["drop", "rao_kupper", "davidson"] = "drop"
    # theta of Rao-Kupper (above 1), nu of Davidson (above 0); None: equal scores tie as often as the training pairs do.
    tie_threshold: float | None = None
    label_smoothing: float = 0.0  # share of comparisons that are taken for mistakes
    # Times Llama 2's auxiliary loss, which teaches sigma(raw score) to be the probability that an answer is safe; from
    # the rankings that carry a `safety` label. The safety_model of a run's rewards wants it.
    safety_coefficient: float = 0.0
    labeler_weights: dict[str, float] = field(default_factory=dict)  # times the row's weight; 1 for all others
    num_heads: int = 1  # above 1: an ensemble on one trunk, each head on a bootstrap of the rankings
    # Its samples give scores their unit deviation; None: the completions of the training rankings do.
    policy: str | None = None
    num_samples: int = 256  # of the policy, one for each of as many training prompts

    # Further models on these shares of the training prompts, for what more labels would buy: (0.25, 0.5) costs 0.75 of
    # the training again. They are thrown away.
    scaling_shares: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        check_batches(self.model, self.num_epochs, self.batch_size, self.micro_batch_size)
        check_chunks(self.completions_per_forward, self.engine.parallel)
        check_evaluation(self.evaluate_every)
        lowest = {"drop": None, "rao_kupper": 1.0, "davidson": 0.0}[self.ties]
        require(
            self.tie_threshold is None or (lowest is not None and self.tie_threshold > lowest),
            f"tie_threshold: expected more than 1 for rao_kupper, more than 0 for davidson, none for drop, found "
            f"{self.tie_threshold} for {self.ties}",
        )
        require(
            self.margin == "off" or self.ties == "drop",
            f"margin: expected off where ties have a likelihood ({self.ties}), found {self.margin}",
        )
        require(
            0 <= self.label_smoothing < 0.5, f"label_smoothing: expected 0 <= x < 0.5, found {self.label_smoothing}"
        )
        require(
            0 <= self.safety_coefficient < float("inf"),
            f"safety_coefficient: expected 0 or more, found {self.safety_coefficient}",
        )
        for labeler, weight in self.labeler_weights.items():
            require(0 <= weight < float("inf"), f"labeler_weights: expected 0 or more for {labeler}, found {weight}")
        require(self.num_heads >= 1, f"num_heads: expected at least 1, found {self.num_heads}")
        for share in self.scaling_shares:
            require(0 < share < 1, f"scaling_shares: expected 0 < x < 1, found {share}")
        require(self.num_samples >= 2, f"num_samples: expected at least 2, found {self.num_samples}")
