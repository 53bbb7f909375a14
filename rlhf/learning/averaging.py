"""The running mean of a policy's weights (InstructGPT, C.4: decay 0.992), a model of its own that checkpoints hold."""

from __future__ import annotations

import copy

import torch
from transformers import PreTrainedModel


def start_average(model: PreTrainedModel) -> PreTrainedModel:
    """A copy of the model, without gradients: the mean before the first step."""
    return copy.deepcopy(model).requires_grad_(False)


@torch.no_grad()
def average_in(average: PreTrainedModel, model: PreTrainedModel, decay: float) -> None:
    """average <- decay * average + (1 - decay) * model, weight by weight."""
    for mean, current in zip(average.parameters(), model.parameters(), strict=True):
        mean.lerp_(current, 1 - decay)
