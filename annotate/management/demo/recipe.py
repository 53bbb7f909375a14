"""How the demo's model learns: sizes and configurations of every stage.

Dicts in the shape of rlhf/learning/configs.py without paths to models, which are known only when a run starts.
"""

from __future__ import annotations

from typing import Any

SettingsOfStage = dict[str, Any]

# Sizes, in prompts or rows.
NUM_CORPUS = 12_000
NUM_DEMONSTRATIONS = 1_500
NUM_LABELED_DEMONSTRATIONS = 300  # of them come through the labeling API, the others by import
NUM_RANKING_PROMPTS = 600
NUM_HELD_OUT_RANKING_PROMPTS = 100
NUM_COMPLETIONS = 4
NUM_BEST_OF_N_PROMPTS = 192
NUM_PPO_PROMPTS = 1_024
NUM_COMPARE_TASKS = 100
OLD_RANKINGS_WEIGHT = 0.5

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


def loop(*, seed: int) -> dict[str, SettingsOfStage]:
    """Configurations of the stages that a round runs, by kind."""
    return {
        "sft": {
            "engine": _engine(seed=seed, checkpoint_every=25),
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
            "engine": _engine(seed=seed, checkpoint_every=50),
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
            "engine": _engine(seed=seed, checkpoint_every=4),
            "text": TEXT,
            "optimizer": {"learning_rate": 3e-4, "schedule": "constant", "warmup_share": 0.0},
            "value_learning_rate": 3e-4,
            "temperature": 1.0,
            "num_iterations": 12,
            "rollouts_per_iteration": 128,
            "num_epochs": 2,
            "minibatch_size": 64,
            "micro_batch_size": 64,
            "clip_range": 0.2,
            "gamma": 1.0,
            "gae_lambda": 0.95,
            "kl_reference": "start",
            "kl_coefficient": 0.1,
            "value_coefficient": 1.0,
        },
    }


def loop_settings(*, seed: int, num_rounds: int) -> dict[str, Any]:
    """What `Project.loop` holds, in the shape of rlhf/loop_settings.py."""
    return {
        "seed": seed,
        "num_rounds": num_rounds,
        "num_demonstrations": NUM_DEMONSTRATIONS,
        "num_ranking_prompts": NUM_RANKING_PROMPTS,
        "num_held_out_ranking_prompts": NUM_HELD_OUT_RANKING_PROMPTS,
        "num_best_of_n_prompts": NUM_BEST_OF_N_PROMPTS,
        "num_ppo_prompts": NUM_PPO_PROMPTS,
        "old_rankings_weight": OLD_RANKINGS_WEIGHT,
        **loop(seed=seed),
    }


def judge(*, seed: int) -> SettingsOfStage:
    return {"engine": _engine(seed=seed, checkpoint_every=0), "text": TEXT}
