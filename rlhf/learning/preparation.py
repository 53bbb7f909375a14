"""What `engine` does to a model before it is trained: recomputed activations, compiled layers, weights in pieces."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from rlhf.learning import distributed
from rlhf.learning.configs import EngineConfig
from rlhf.learning.last_layer import decoder_layers


def prepare(engine: EngineConfig, *models: PreTrainedModel) -> None:
    """Prepare each model once, in place, before it gets an optimiser; names of weights stay as they are."""
    for model in {id(model): model for model in models}.values():
        layers = decoder_layers(model)
        if engine.compile:
            compile_layers(layers)
        if engine.activation_checkpointing:
            for layer in layers:
                layer.forward = partial(_recomputed, layer.forward)
        if engine.parallel == "shard" and distributed.size() > 1:
            distributed.shard(model, layers)


def _recomputed(forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """A layer's forward whose activations are made again for the gradient; as it is where there is none (sampling)."""
    if not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    # Nothing here is random, dropout is off: no state of a generator to keep.
    return checkpoint(forward, *args, use_reentrant=False, preserve_rng_state=False, **kwargs)


def compile_layers(layers: Sequence[nn.Module]) -> bool:
    """Compile norms and feed-forward parts of each layer; attention stays, its packing is another one in every batch.

    Returns whether it did: where this machine can't compile, it warns and everything runs as it is.
    """
    reason = why_not()
    if reason is not None:
        warnings.warn(f"engine.compile: expected a working torch.compile, found {reason}; not compiled", stacklevel=2)
        return False
    for layer in layers:
        for name, part in layer.named_children():
            if "attn" not in name and "attention" not in name:
                part.compile(dynamic=True)
    return True


def why_not() -> str | None:
    """Why torch.compile doesn't work here, in one line; None where it does."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        doubled: Tensor = torch.compile(_double)(torch.ones(2, device=device))
        return None if float(doubled.sum()) == 4.0 else "wrong numbers"
    except Exception as error:  # no compiler, no Triton, no headers: each fails in its own way
        return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:200]


def _double(x: Tensor) -> Tensor:
    return 2 * x
