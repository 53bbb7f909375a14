"""What a run is asked to do: frozen, validated dataclasses, read from and written to `config.json`.

Torch-free, so that the web process can validate a configuration before it queues a run.
A configuration is unpacked before the maths: losses take numbers, never a config.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal


class InputError(ValueError):
    """What a run was given can't be used: one sentence on standard error, exit code 2."""


class ConfigError(InputError):
    """A configuration that can't be run; the message names the field, what was found and what was expected."""


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)


@dataclass(frozen=True)
class EngineConfig:
    """Where and how the numbers are computed; nothing here changes what is learned, up to rounding."""

    seed: int = 0  # every random choice derives from it
    device: Literal["auto", "cpu", "cuda"] = "auto"  # auto: cuda where there is one
    num_threads: int = 1  # CPU threads; one beats two below about 1 M parameters
    precision: Literal["float32", "bfloat16"] = "float32"  # autocast type; weights stay float32
    # Of float32 products. "medium" may use bfloat16 inside, and compiles a kernel for each new shape: on a Zen 4 core
    # 7 % faster for one product and 10 % slower for a training step; on others it was twice as fast. Measure yours.
    matmul_precision: Literal["highest", "high", "medium"] = "highest"
    checkpoint_every: int = 50  # optimiser steps (PPO: iterations) between checkpoints; 0 never
    log_every: int = 1  # steps between metric lines

    def __post_init__(self) -> None:
        _require(0 <= self.seed < 2**63, f"engine.seed: expected 0 <= x < 2^63, found {self.seed}")
        _require(self.num_threads >= 1, f"engine.num_threads: expected at least 1, found {self.num_threads}")
        _require(
            self.checkpoint_every >= 0, f"engine.checkpoint_every: expected 0 or more, found {self.checkpoint_every}"
        )
        _require(self.log_every >= 1, f"engine.log_every: expected at least 1, found {self.log_every}")


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW with warm-up, then a schedule down to `final_share` of the peak."""

    learning_rate: float = 1e-5  # peak
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    warmup_share: float = 0.03  # share of all steps
    final_share: float = 0.1  # of the peak, at the last step
    weight_decay: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-5  # Llama 2, section 3.2.3; the N-details papers use the same
    max_grad_norm: float = 1.0

    def __post_init__(self) -> None:
        _require(self.learning_rate > 0, f"optimizer.learning_rate: expected more than 0, found {self.learning_rate}")
        _require(self.weight_decay >= 0, f"optimizer.weight_decay: expected 0 or more, found {self.weight_decay}")
        _require(0 <= self.beta1 < 1, f"optimizer.beta1: expected 0 <= x < 1, found {self.beta1}")
        _require(0 <= self.beta2 < 1, f"optimizer.beta2: expected 0 <= x < 1, found {self.beta2}")
        _require(self.eps > 0, f"optimizer.eps: expected more than 0, found {self.eps}")
        _require(0 <= self.warmup_share < 1, f"optimizer.warmup_share: expected 0 <= x < 1, found {self.warmup_share}")
        _require(0 <= self.final_share <= 1, f"optimizer.final_share: expected 0 <= x <= 1, found {self.final_share}")
        _require(self.max_grad_norm > 0, f"optimizer.max_grad_norm: expected more than 0, found {self.max_grad_norm}")


@dataclass(frozen=True)
class TextConfig:
    """How messages become tokens."""

    prompt_format: Literal["chat", "plain"] = "chat"  # plain: for models without a chat template
    max_prompt_tokens: int = 512  # longer prompts lose their beginning, never their end
    max_completion_tokens: int = 256  # longer completions are cut, and then carry no end-of-text

    def __post_init__(self) -> None:
        _require(
            self.max_prompt_tokens >= 1, f"text.max_prompt_tokens: expected at least 1, found {self.max_prompt_tokens}"
        )
        _require(
            self.max_completion_tokens >= 1,
            f"text.max_completion_tokens: expected at least 1, found {self.max_completion_tokens}",
        )


@dataclass(frozen=True)
class SamplingConfig:
    """Ancestral sampling from the whole distribution; noise comes from (seed, prompt id, sample index)."""

    num_samples: int = 1  # completions per prompt
    temperature: float = 1.0  # 0: greedy
    batch_size: int = 256  # rows decoded together

    def __post_init__(self) -> None:
        _require(self.num_samples >= 1, f"sampling.num_samples: expected at least 1, found {self.num_samples}")
        _require(self.temperature >= 0, f"sampling.temperature: expected 0 or more, found {self.temperature}")
        _require(self.batch_size >= 1, f"sampling.batch_size: expected at least 1, found {self.batch_size}")


@dataclass(frozen=True)
class SFTConfig:
    """Supervised fine-tuning. In: data/demonstrations.parquet. Out: model/."""

    model: str  # name or path, as `AutoModelForCausalLM.from_pretrained` takes it
    engine: EngineConfig = field(default_factory=EngineConfig)
    text: TextConfig = field(default_factory=TextConfig)
    optimizer: OptimizerConfig = field(default_factory=lambda: OptimizerConfig(learning_rate=2e-5))
    num_epochs: int = 2
    batch_size: int = 64  # demonstrations per optimiser step
    micro_batch_size: int = 64  # demonstrations per forward
    loss_on: Literal["completion", "all"] = "completion"  # all: pre-training on a mixed corpus

    def __post_init__(self) -> None:
        _check_batches(self.model, self.num_epochs, self.batch_size, self.micro_batch_size)


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
        _check_batches(self.model, self.num_epochs, self.batch_size, self.micro_batch_size)


@dataclass(frozen=True)
class SampleConfig:
    """Completions. In: data/prompts.parquet. Out: rows.parquet."""

    model: str
    engine: EngineConfig = field(default_factory=EngineConfig)
    text: TextConfig = field(default_factory=TextConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)

    def __post_init__(self) -> None:
        _require(bool(self.model), "model: expected a name or a path, found nothing")


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
        _check_batches(self.model, self.num_epochs, self.batch_size, self.micro_batch_size)
        _require(bool(self.reward_model), "reward_model: expected a path, found nothing")
        _require(
            self.sampling.num_samples >= 2,
            f"sampling.num_samples: expected at least 2, found {self.sampling.num_samples}",
        )


@dataclass(frozen=True)
class PPOConfig:
    """PPO with a value model started from the reward model. In: data/prompts.parquet. Out: model/, value/."""

    model: str
    reward_model: str
    sft_model: str  # KL to it is logged; it is the reference where kl_reference is "sft"
    engine: EngineConfig = field(default_factory=lambda: EngineConfig(checkpoint_every=4))
    text: TextConfig = field(default_factory=TextConfig)
    optimizer: OptimizerConfig = field(
        default_factory=lambda: OptimizerConfig(learning_rate=1e-6, schedule="constant", warmup_share=0.0)
    )
    value_learning_rate: float = 1e-5
    temperature: float = 1.0  # of rollouts; log-probabilities everywhere are taken at it
    num_iterations: int = 200
    rollouts_per_iteration: int = 512
    num_epochs: int = 1  # passes over one iteration's rollouts
    minibatch_size: int = 64  # rollouts per optimiser step
    micro_batch_size: int = 64  # rollouts per forward
    clip_range: float = 0.2
    value_clip_range: float = 0.2
    value_coefficient: float = 0.1  # lm-human-preferences; the networks are separate, it scales value gradients
    gamma: float = 1.0  # undiscounted
    gae_lambda: float = 0.95
    kl_reference: Literal["start", "sft"] = "start"
    kl_coefficient: float = 0.02  # initial value where kl_target is given
    kl_target: float | None = None  # nats per completion; None keeps the coefficient fixed
    kl_horizon: int = 10_000  # episodes
    missing_eos_score: float | None = -1.0  # score of a completion without end-of-text; None: the reward model's
    whiten_rewards: bool = False

    def __post_init__(self) -> None:
        _check_batches(self.model, self.num_epochs, self.minibatch_size, self.micro_batch_size)
        _require(bool(self.reward_model), "reward_model: expected a path, found nothing")
        _require(bool(self.sft_model), "sft_model: expected a name or a path, found nothing")
        _require(self.num_iterations >= 1, f"num_iterations: expected at least 1, found {self.num_iterations}")
        _require(
            self.rollouts_per_iteration % self.minibatch_size == 0,
            f"rollouts_per_iteration: expected a multiple of minibatch_size={self.minibatch_size}, "
            f"found {self.rollouts_per_iteration}",
        )
        _require(self.temperature > 0, f"temperature: expected more than 0, found {self.temperature}")
        _require(self.kl_coefficient >= 0, f"kl_coefficient: expected 0 or more, found {self.kl_coefficient}")
        _require(
            self.kl_target is None or self.kl_target > 0, f"kl_target: expected more than 0, found {self.kl_target}"
        )
        _require(self.kl_horizon >= 1, f"kl_horizon: expected at least 1, found {self.kl_horizon}")
        _require(
            self.value_learning_rate > 0, f"value_learning_rate: expected more than 0, found {self.value_learning_rate}"
        )
        _require(self.value_clip_range > 0, f"value_clip_range: expected more than 0, found {self.value_clip_range}")
        _require(self.value_coefficient >= 0, f"value_coefficient: expected 0 or more, found {self.value_coefficient}")
        _require(0 < self.clip_range < 1, f"clip_range: expected 0 < x < 1, found {self.clip_range}")
        _require(0 <= self.gamma <= 1, f"gamma: expected 0 <= x <= 1, found {self.gamma}")
        _require(0 <= self.gae_lambda <= 1, f"gae_lambda: expected 0 <= x <= 1, found {self.gae_lambda}")


@dataclass(frozen=True)
class JudgeConfig:
    """Pairs scored by a reward model. In: data/pairs.parquet. Out: rows.parquet."""

    reward_model: str
    engine: EngineConfig = field(default_factory=EngineConfig)
    text: TextConfig = field(default_factory=TextConfig)
    batch_size: int = 256

    def __post_init__(self) -> None:
        _require(bool(self.reward_model), "reward_model: expected a path, found nothing")
        _require(self.batch_size >= 1, f"batch_size: expected at least 1, found {self.batch_size}")


@dataclass(frozen=True)
class EstimateConfig:
    """Win rates with intervals. In: data/verdicts.parquet. Out: rows.parquet. Needs no torch."""

    confidence: float = 0.95

    def __post_init__(self) -> None:
        _require(0.5 <= self.confidence < 1, f"confidence: expected 0.5 <= x < 1, found {self.confidence}")


Config = SFTConfig | RewardConfig | SampleConfig | BestOfNConfig | PPOConfig | JudgeConfig | EstimateConfig

CONFIGS: dict[str, type[Config]] = {
    "sft": SFTConfig,
    "reward": RewardConfig,
    "sample": SampleConfig,
    "best_of_n": BestOfNConfig,
    "ppo": PPOConfig,
    "judge": JudgeConfig,
    "estimate": EstimateConfig,
}


def _check_batches(model: str, num_epochs: int, batch_size: int, micro_batch_size: int) -> None:
    _require(bool(model), "model: expected a name or a path, found nothing")
    _require(num_epochs >= 1, f"num_epochs: expected at least 1, found {num_epochs}")
    _require(batch_size >= 1, f"batch size: expected at least 1, found {batch_size}")
    _require(
        micro_batch_size >= 1 and (micro_batch_size >= batch_size or batch_size % micro_batch_size == 0),
        f"micro_batch_size: expected a divisor of {batch_size}, found {micro_batch_size}",
    )


def from_dict(kind: str, values: dict[str, Any]) -> Config:
    """Build the configuration of `kind`. Raises ConfigError for an unknown kind or key, or a wrong type."""
    if kind not in CONFIGS:
        raise ConfigError(f"kind: expected one of {', '.join(CONFIGS)}, found {kind!r}")
    return typing.cast(Config, _build(CONFIGS[kind], values, kind))


def to_dict(config: Config) -> dict[str, Any]:
    return dataclasses.asdict(config)


def read(kind: str, path: Path) -> Config:
    """Read `config.json`; the file holds the fields alone, the kind is the caller's."""
    try:
        values = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise ConfigError(f"{path}: expected a JSON object, found {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected a JSON object, found {type(values).__name__}")
    return from_dict(kind, values)


def _build(cls: type, values: dict[str, Any], where: str) -> Any:
    hints = typing.get_type_hints(cls)
    unknown = sorted(set(values) - set(hints))
    _require(not unknown, f"{where}: unknown keys {unknown}; expected some of {sorted(hints)}")
    required = {f.name for f in dataclasses.fields(cls) if f.default is f.default_factory is dataclasses.MISSING}
    missing = sorted(required - set(values))
    _require(not missing, f"{where}: missing keys {missing}")
    return cls(**{name: _convert(hints[name], value, f"{where}.{name}") for name, value in values.items()})


def _convert(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        _require(isinstance(value, dict), f"{where}: expected an object, found {value!r}")
        return _build(typing.cast(type, hint), value, where)
    if typing.get_origin(hint) is Literal:
        options = typing.get_args(hint)
        _require(value in options, f"{where}: expected one of {list(options)}, found {value!r}")
        return value
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        if value is None:
            return None
        hint = next(option for option in typing.get_args(hint) if option is not type(None))
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    good = isinstance(value, hint) and not (hint in (int, float) and isinstance(value, bool))
    _require(good, f"{where}: expected {hint.__name__}, found {value!r}")
    return value
