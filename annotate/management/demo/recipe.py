"""How the demo's model learns: sizes and configurations of every stage.

Dicts in the shape of rlhf/learning/configs without paths to models, which are known only when a run starts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from annotate.management.demo import language_model

SettingsOfStage = dict[str, Any]

NUM_COMPLETIONS = 4  # of a ranking
OLD_RANKINGS_WEIGHT = 0.5


@dataclass(frozen=True)
class Sizes:
    """How much of everything, in prompts or rows."""

    num_corpus: int = 12_000  # examples that the base model is pre-trained on
    num_prompts: int = 5_000
    num_demonstrations: int = 1_500
    num_labeled_demonstrations: int = 300  # of them come through the labeling API, the others by import
    num_ranking_prompts: int = 600
    num_held_out_ranking_prompts: int = 100
    num_best_of_n_prompts: int = 192
    num_ppo_prompts: int = 1_024
    num_compare_tasks: int = 100
    num_audit_prompts: int = 1_200  # held out, never trained on; exact ties of the gold score leave over 1,000
    num_ppo_iterations: int = 12
    num_rollouts: int = 128  # of a PPO iteration
    checkpoint_every: int = 25  # steps of SFT; the other stages in proportion
    max_losses: int = 2  # this many rounds in a row without a promotion pause the loop


STANDARD = Sizes()
# For tests of the machinery: every part is real, and too little is learned for win rates to mean anything.
SMALL = Sizes(
    num_corpus=1_200,
    num_prompts=600,
    num_demonstrations=160,
    num_labeled_demonstrations=40,
    num_ranking_prompts=48,
    num_held_out_ranking_prompts=16,
    num_best_of_n_prompts=16,
    num_ppo_prompts=96,
    num_compare_tasks=12,
    num_audit_prompts=40,
    num_ppo_iterations=6,
    num_rollouts=32,
    checkpoint_every=2,
    max_losses=0,
)
SIZES = {"standard": STANDARD, "small": SMALL}

TEXT = {"prompt_format": "chat", "max_prompt_tokens": 64, "max_completion_tokens": 48}


def _engine(*, seed: int, checkpoint_every: int) -> SettingsOfStage:
    return {"seed": seed, "device": "cpu", "num_threads": 1, "checkpoint_every": checkpoint_every}


def pretraining(*, seed: int) -> SettingsOfStage:
    """The base model's schooling. The answers alone count: prompts can't be foretold, and learning to copy from them
    comes twice as fast without."""
    return {
        "engine": _engine(seed=seed, checkpoint_every=0) | {"log_every": 10},
        "text": TEXT,
        "optimizer": {"learning_rate": 4e-3, "schedule": "cosine", "final_share": 0.02, "eps": 1e-8},
        "num_epochs": 1,
        "batch_size": 16,
        "micro_batch_size": 16,
        "loss_on": "completion",
    }


def loop(*, seed: int, sizes: Sizes = STANDARD) -> dict[str, SettingsOfStage]:
    """Configurations of the stages that a round runs, by kind."""
    return {
        "sft": {
            "engine": _engine(seed=seed, checkpoint_every=sizes.checkpoint_every),
            "text": TEXT,
            "optimizer": {"learning_rate": 1e-3, "schedule": "cosine"},
            "num_epochs": 1,
            "batch_size": 32,
            "micro_batch_size": 32,
        },
        "sample": {
            "engine": _engine(seed=seed, checkpoint_every=0),
            "text": TEXT,
            "sampling": {"num_samples": NUM_COMPLETIONS, "temperature": 1.0, "batch_size": 256},
        },
        "reward": {
            "engine": _engine(seed=seed, checkpoint_every=2 * sizes.checkpoint_every),
            "text": TEXT,
            "optimizer": {"learning_rate": 1e-3, "schedule": "cosine", "eps": 1e-8},
            "num_epochs": 2,
            "batch_size": 8,
            "micro_batch_size": 8,
        },
        "best_of_n": {
            "engine": _engine(seed=seed, checkpoint_every=0),
            "text": TEXT,
            "sampling": {"num_samples": 8, "temperature": 1.0, "batch_size": 256},
            "optimizer": {"learning_rate": 1e-3, "schedule": "cosine"},
            "num_epochs": 1,
            "batch_size": 32,
            "micro_batch_size": 32,
        },
        "ppo": {
            "engine": _engine(seed=seed, checkpoint_every=max(1, sizes.checkpoint_every // 6)),
            "text": TEXT,
            "optimizer": {"learning_rate": 3e-4, "schedule": "constant", "warmup_share": 0.0},
            "value_learning_rate": 3e-4,
            "temperature": 1.0,
            "num_iterations": sizes.num_ppo_iterations,
            "rollouts_per_iteration": sizes.num_rollouts,
            "num_epochs": 2,
            "minibatch_size": min(64, sizes.num_rollouts),
            "micro_batch_size": min(64, sizes.num_rollouts),
            "clip_range": 0.2,
            "gamma": 1.0,
            "gae_lambda": 0.95,
            "kl_reference": "start",
            "kl_coefficient": 0.1,
            "value_coefficient": 1.0,
        },
    }


def loop_settings(*, seed: int, num_rounds: int, judge_port: int, sizes: Sizes = STANDARD) -> dict[str, Any]:
    """What `Project.loop` holds, in the shape of rlhf/loop_settings.py."""
    return {
        "seed": seed,
        "num_rounds": num_rounds,
        "num_demonstrations": sizes.num_demonstrations,
        "num_ranking_prompts": sizes.num_ranking_prompts,
        "num_held_out_ranking_prompts": sizes.num_held_out_ranking_prompts,
        "num_best_of_n_prompts": sizes.num_best_of_n_prompts,
        "num_ppo_prompts": sizes.num_ppo_prompts,
        "num_compare_tasks": sizes.num_compare_tasks,
        "old_rankings_weight": OLD_RANKINGS_WEIGHT,
        "max_losses": sizes.max_losses,
        "judges": [language_model_judge(port=judge_port)],
        **loop(seed=seed, sizes=sizes),
    }


def language_model_judge(*, port: int) -> dict[str, Any]:
    """As in `judges` of the loop's settings. The port is part of who the judge is, so a world keeps its first one."""
    server = {"base_url": language_model.address(port=port), "model": language_model.MODEL, "num_attempts": 8}
    return {"name": language_model.NAME, "kind": "llm", "server": server}


def judge(*, seed: int) -> SettingsOfStage:
    return {"engine": _engine(seed=seed, checkpoint_every=0), "text": TEXT}
