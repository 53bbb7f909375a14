"""What a project asks of its loop: how much of everything, and the learning configurations of each stage.

Stored as JSON in `Project.loop`; `docs/loop.md` lists the fields. Torch-free: the wizard and the admin validate it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from rlhf import judge_settings
from rlhf.errors import Refusal
from rlhf.learning import configs
from rlhf.run_kinds import MODELS

STAGES = ("sft", "reward", "sample", "best_of_n", "ppo", "dpo", "grpo")
POLICY_TRAININGS = ("best_of_n", "ppo", "dpo", "grpo")


class BadLoopSettings(Refusal):
    pass


@dataclass(frozen=True)
class LoopSettings:
    seed: int = 0  # of every run, together with its plan key
    num_rounds: int | None = None  # iterations after SFT; None goes on as long as people label
    num_demonstrations: int = 50  # in the train split before SFT starts
    num_ranking_prompts: int = 200  # of the train split, ranked per iteration
    num_held_out_ranking_prompts: int = 50  # of the held-out split, ranked per iteration
    # What makes a round's candidate. ppo and grpo start from best-of-N's result; dpo reads the rankings themselves.
    policy_training: str = "ppo"
    num_best_of_n_prompts: int = 192  # train prompts for best-of-N; 0: PPO and GRPO start from the current version
    num_ppo_prompts: int = 1_000  # train prompts for PPO, or GRPO
    num_compare_tasks: int = 50  # held-out prompts that people compare per evaluation
    old_rankings_weight: float = 0.5  # weight of a ranking of an earlier iteration in the reward model's data
    people_timeout_hours: float = 168.0  # compare tasks not answered by then leave the current version in place
    max_losses: int = 2  # this many losses in a row pause the loop
    sft: dict[str, Any] = field(default_factory=dict)
    reward: dict[str, Any] = field(default_factory=dict)
    sample: dict[str, Any] = field(default_factory=dict)
    best_of_n: dict[str, Any] = field(default_factory=dict)
    ppo: dict[str, Any] = field(default_factory=dict)
    dpo: dict[str, Any] = field(default_factory=dict)
    grpo: dict[str, Any] = field(default_factory=dict)
    judges: list[dict[str, Any]] = field(default_factory=list)  # besides people and reward models: rlhf/judge_settings


def parse(values: dict[str, Any]) -> LoopSettings:
    """Validated settings. Raises BadLoopSettings that names the field, what was found and what was expected."""
    known = {f.name: f for f in dataclasses.fields(LoopSettings)}
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise BadLoopSettings(f"loop: unknown settings {unknown}; expected some of {sorted(known)}")
    for name, value in values.items():
        _check(name, value)
    for stage in STAGES:
        try:
            # Paths are the worker's business: "-" stands in for the models while a configuration is checked.
            configs.from_dict(stage, {**dict.fromkeys(MODELS[stage], "-"), **values.get(stage, {})})
        except configs.ConfigError as error:
            raise BadLoopSettings(f"loop: {error}") from error
    try:
        judge_settings.parse(values.get("judges", []))
    except judge_settings.BadJudges as error:
        raise BadLoopSettings(f"loop.{error}") from error
    settings = LoopSettings(**values)
    if settings.policy_training == "best_of_n" and settings.num_best_of_n_prompts == 0:
        raise BadLoopSettings(
            "loop.num_best_of_n_prompts: expected at least 1 where policy_training is best_of_n, found 0"
        )
    return settings


def _check(name: str, value: Any) -> None:
    if name in STAGES:
        good, expected = isinstance(value, dict), "an object"
    elif name == "judges":
        good, expected = isinstance(value, list), "a list"
    elif name == "policy_training":
        good, expected = value in POLICY_TRAININGS, f"one of {', '.join(POLICY_TRAININGS)}"
    elif name == "num_rounds":
        good, expected = value is None or (type(value) is int and value >= 1), "a number of rounds from 1, or null"
    elif name in ("old_rankings_weight", "people_timeout_hours"):
        good, expected = type(value) in (int, float) and value >= 0, "a number from 0"
    else:
        good, expected = type(value) is int and value >= 0, "a whole number from 0"
    if not good:
        raise BadLoopSettings(f"loop.{name}: expected {expected}, found {value!r}")
