"""Hyper-parameters of published PPO runs, as changes to PPOConfig; training.md and docs/learning.md say where from.

Sizes of the models, lengths of texts and paths are the caller's. What a paper doesn't say is left at our default.
"""

from __future__ import annotations

from typing import Any

from rlhf.learning.configs.errors import ConfigError
from rlhf.learning.configs.ppo import PPOConfig
from rlhf.learning.configs.reading import from_dict

Changes = dict[str, Any]

PRESETS: dict[str, Changes] = {
    # InstructGPT (2203.02155), C.4: 256k episodes, constant rate after ten iterations of warm-up, reference: the SFT.
    "instructgpt": {
        "optimizer": {"learning_rate": 9e-6, "schedule": "constant", "warmup_share": 0.02},
        "value_learning_rate": 9e-6,
        "num_iterations": 500,
        "rollouts_per_iteration": 512,
        "num_epochs": 1,
        "minibatch_size": 64,
        "clip_range": 0.2,
        "gamma": 1.0,
        "kl_reference": "sft",
        "kl_coefficient": 0.02,
        "temperature": 1.0,
        "ptx_coefficient": 27.8,
        "ptx_batch_size": 512,  # eight demonstrations a rollout
        "ema_decay": 0.992,
    },
    # Learning to summarize (2009.01325), B.1, its 1.3 B model: four passes, rates linear to 0, one million episodes.
    "learning_to_summarize": {
        "optimizer": {"learning_rate": 1.5e-5, "schedule": "linear", "warmup_share": 0.0, "final_share": 0.0},
        "value_learning_rate": 1.5e-5,
        "num_iterations": 1954,
        "rollouts_per_iteration": 512,
        "num_epochs": 4,
        "minibatch_size": 512,
        "gamma": 1.0,
        "gae_lambda": 0.95,
        "kl_reference": "sft",
        "kl_coefficient": 0.05,
    },
    # Llama 2 (2307.09288), 3.2.3, 7 B and 13 B: one step a minibatch, 200 to 400 iterations. Its score is a whitened
    # logit: our reward models are normalised already.
    "llama2": {
        "optimizer": {
            "learning_rate": 1e-6,
            "schedule": "constant",
            "warmup_share": 0.0,
            "weight_decay": 0.1,
            "beta1": 0.9,
            "beta2": 0.95,
            "eps": 1e-5,
            "max_grad_norm": 1.0,
        },
        "value_learning_rate": 1e-6,
        "num_iterations": 400,
        "rollouts_per_iteration": 512,
        "num_epochs": 1,
        "minibatch_size": 64,
        "clip_range": 0.2,
        "kl_reference": "start",
        "kl_coefficient": 0.01,
    },
}


def preset(name: str, values: Changes) -> PPOConfig:
    """The configuration of a published run, with `values` (paths, texts, sizes) over it.

    Raises:
        ConfigError: an unknown preset, key or type.
    """
    if name not in PRESETS:
        raise ConfigError(f"preset: expected one of {', '.join(PRESETS)}, found {name!r}")
    merged = dict(PRESETS[name])
    for key, value in values.items():
        known = merged.get(key)
        merged[key] = known | value if isinstance(known, dict) and isinstance(value, dict) else value
    found = from_dict("ppo", merged)
    assert isinstance(found, PPOConfig)
    return found
