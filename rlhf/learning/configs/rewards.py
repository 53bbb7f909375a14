"""What a completion is worth to PPO, GRPO and RLOO: reward models, verifiers and penalties, put together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rlhf.learning.configs.errors import require


@dataclass(frozen=True)
class RewardsConfig:
    """What counts besides the run's reward model; by default nothing does, and the score is that model's.

    In: data/targets.parquet, for verifiers and safety tags.
    """

    models: tuple[str, ...] = ()  # further reward models
    # Of all models and, in an ensemble, all heads: their mean, their minimum, or the mean less so many deviations.
    combine: Literal["mean", "min", "lower_bound"] = "mean"
    deviations: float = 1.0  # of lower_bound
    # Llama 2, section 3.2.3: this model's score where the prompt is tagged or its probability lies below the threshold.
    safety_model: str | None = None
    safety_threshold: float = 0.15
    verifier: Literal["none", "exact", "number", "regex"] = "none"  # against the answer in data/targets.parquet
    verifier_weight: float = 1.0  # what a right answer adds to the score
    thinking_end: str | None = None  # e.g. "</think>": what stands before its last occurrence is hidden from everybody
    # A language model behind an OpenAI-compatible endpoint (its key: OPENAI_API_KEY), up to /chat/completions.
    judge_url: str | None = None
    judge_model: str = ""
    judge_weight: float = 1.0  # what its best mark adds to the score
    judge_question: str = (
        "How good is the answer to the last message of the conversation? Reply with one number from 0 (useless) to 10 "
        "(perfect) and nothing else."
    )
    length_penalty: float = 0.0  # taken from the score for each token of the completion

    def __post_init__(self) -> None:
        require(all(self.models), "rewards.models: expected paths, found an empty one")
        require(self.deviations >= 0, f"rewards.deviations: expected 0 or more, found {self.deviations}")
        require(
            0 <= self.safety_threshold <= 1, f"rewards.safety_threshold: expected 0 to 1, found {self.safety_threshold}"
        )
        require(self.safety_model != "", "rewards.safety_model: expected a path, found nothing")
        require(self.thinking_end != "", "rewards.thinking_end: expected a text, found nothing")
        require(
            self.judge_url is None or bool(self.judge_model),
            f"rewards.judge_model: expected a name for the judge at {self.judge_url}, found nothing",
        )
        require(self.length_penalty >= 0, f"rewards.length_penalty: expected 0 or more, found {self.length_penalty}")
