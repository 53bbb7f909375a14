"""Forwards of a batch in chunks: the gradients of the whole, at the memory of one chunk."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from rlhf.learning.rollouts import take
from rlhf.learning.text import Batch


def in_chunks(forward: Callable[[Batch], Tensor], batch: Batch, chunk: int | None) -> Tensor:
    """`forward(batch)`, a row of numbers or one number per completion, `chunk` completions at a time.

    In chunks the numbers are made without graph, and a chunk is forwarded again when the gradients of its numbers are
    known: the same gradients, with the activations of one chunk in memory. None: all completions at once.
    """
    count = len(batch.row_ids)
    if chunk is None or count <= chunk:
        return forward(batch)
    chunks = [take(batch, range(start, min(start + chunk, count))) for start in range(0, count, chunk)]
    return torch.cat([checkpoint(forward, part, use_reentrant=False) for part in chunks])
