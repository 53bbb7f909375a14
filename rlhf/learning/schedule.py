"""Learning rates over a run."""

from __future__ import annotations

import math

from rlhf.learning.configs import OptimizerConfig


def schedule_factor(step: int, total_steps: int, config: OptimizerConfig) -> float:
    """Share of the peak learning rate at optimiser step `step` (0-based) of `total_steps`.

    Linear warm-up over the first ceil(warmup_share * total_steps) steps, (step + 1) / warm-up steps; then constant,
    or from 1 down to final_share at the last step, linearly or along half a cosine.
    """
    warmup = math.ceil(config.warmup_share * total_steps)
    if step < warmup:
        return (step + 1) / warmup
    if config.schedule == "constant":
        return 1.0
    progress = min(1.0, (step - warmup) / max(1, total_steps - 1 - warmup))
    decay = progress if config.schedule == "linear" else (1 - math.cos(math.pi * progress)) / 2
    return 1.0 - (1.0 - config.final_share) * decay
