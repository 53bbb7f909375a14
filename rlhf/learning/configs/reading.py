"""Configurations from and to `config.json`: an unknown kind or key, or a wrong type, is an error that names it."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from pathlib import Path
from typing import Any, Literal

from rlhf.learning.configs.delivery import DeliverConfig
from rlhf.learning.configs.direct import DPOConfig
from rlhf.learning.configs.errors import ConfigError, require
from rlhf.learning.configs.group import GRPOConfig
from rlhf.learning.configs.judging import EstimateConfig, JudgeConfig
from rlhf.learning.configs.ppo import PPOConfig
from rlhf.learning.configs.reward import RewardConfig
from rlhf.learning.configs.sampling import BestOfNConfig, SampleConfig
from rlhf.learning.configs.sft import SFTConfig

Config = (
    SFTConfig
    | RewardConfig
    | SampleConfig
    | BestOfNConfig
    | PPOConfig
    | DPOConfig
    | GRPOConfig
    | JudgeConfig
    | EstimateConfig
    | DeliverConfig
)

CONFIGS: dict[str, type[Config]] = {
    "sft": SFTConfig,
    "reward": RewardConfig,
    "sample": SampleConfig,
    "best_of_n": BestOfNConfig,
    "ppo": PPOConfig,
    "dpo": DPOConfig,
    "grpo": GRPOConfig,
    "judge": JudgeConfig,
    "estimate": EstimateConfig,
    "deliver": DeliverConfig,
}


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
    require(not unknown, f"{where}: unknown keys {unknown}; expected some of {sorted(hints)}")
    required = {f.name for f in dataclasses.fields(cls) if f.default is f.default_factory is dataclasses.MISSING}
    missing = sorted(required - set(values))
    require(not missing, f"{where}: missing keys {missing}")
    return cls(**{name: _convert(hints[name], value, f"{where}.{name}") for name, value in values.items()})


def _convert(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        require(isinstance(value, dict), f"{where}: expected an object, found {value!r}")
        return _build(typing.cast(type, hint), value, where)
    if typing.get_origin(hint) is Literal:
        options = typing.get_args(hint)
        require(value in options, f"{where}: expected one of {list(options)}, found {value!r}")
        return value
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        if value is None:
            return None
        return _convert(next(option for option in typing.get_args(hint) if option is not type(None)), value, where)
    if typing.get_origin(hint) is dict:
        require(isinstance(value, dict), f"{where}: expected an object, found {value!r}")
        return {key: _convert(typing.get_args(hint)[1], one, f"{where}.{key}") for key, one in value.items()}
    if typing.get_origin(hint) is tuple:  # of any length, all of one type: a list in JSON
        require(isinstance(value, list | tuple), f"{where}: expected a list, found {value!r}")
        return tuple(_convert(typing.get_args(hint)[0], one, f"{where}[{i}]") for i, one in enumerate(value))
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    good = isinstance(value, hint) and not (hint in (int, float) and isinstance(value, bool))
    require(good, f"{where}: expected {hint.__name__}, found {value!r}")
    return value
