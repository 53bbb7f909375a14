"""Decoding steps over fixed buffers: on a GPU each is recorded once as a CUDA graph and then replayed.

A step of a small batch is hundreds of kernels, and a GPU waits longer for Python to start them than they run. A graph
starts them all at once, but knows only the memory that it was recorded with: tokens, positions, the column to write,
mask, cache and logits stay where they are, and attention looks at a width that grows in steps of `WIDTH` columns, with
a recording for each. Weights are copied to half precision first where that is what autocast would compute in: a graph
would replay the casts too, and read three times the bytes.

The same steps run without a recording on a CPU, where the tests compare them with the growing window. That recording
pays on a GPU is expected and was not measured: no GPU was at hand when this was written.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel

from rlhf.learning.cache import Window

WIDTH = 256  # columns; wider reads what is masked, narrower records more often
_NUM_WARMUP = 2  # runs before a recording: kernels are chosen and workspaces made


class Step:
    """The forward of one token for each of B rows; buffers that change hands (fewer rows) need a new one."""

    def __init__(self, model: PreTrainedModel, cache: DynamicCache, window: Window, mask: Tensor) -> None:
        """Args:
        mask: (B, room) bool, True where a row's token lies in the cache; read at every step.
        """
        self.model, self.cache, self.window, self.mask = model, cache, window, mask
        self.tokens = torch.zeros(len(mask), 1, dtype=torch.int64, device=mask.device)
        self.positions = torch.zeros_like(self.tokens)
        self.column = torch.zeros(1, dtype=torch.int64, device=mask.device)
        self._recorded: dict[int, Callable[[], Tensor]] = {}  # by width

    def __call__(self, tokens: Tensor, positions: Tensor, column: int) -> Tensor:
        """Logits (B, V) behind `tokens` (B,) at `positions` (B,), written into `column`; overwritten by the next call.

        The mask must hold the column already.
        """
        self.tokens.copy_(tokens[:, None])
        self.positions.copy_(positions[:, None])
        self.column.fill_(column)
        width = min(self.mask.shape[1], -(-(column + 1) // WIDTH) * WIDTH)
        with _written_by_index(self.window, self.column, width):
            if width not in self._recorded:
                self._recorded[width] = self._record(width)
            return self._recorded[width]()

    def _forward(self, width: int) -> Tensor:
        logits: Tensor = self.model(
            input_ids=self.tokens,
            attention_mask=self.mask[:, None, None, :width],
            position_ids=self.positions,
            past_key_values=self.cache,
            use_cache=True,
        ).logits[:, -1]
        return logits

    def _record(self, width: int) -> Callable[[], Tensor]:
        """A step as a function without arguments; what it writes twice while warming up is the same both times."""
        if self.mask.device.type != "cuda":
            return lambda: self._forward(width)
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(_NUM_WARMUP):
                self._forward(width)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            logits = self._forward(width)

        def replay() -> Tensor:
            graph.replay()
            return logits

        return replay


@contextlib.contextmanager
def _written_by_index(window: Window, column: Tensor, width: int) -> Iterator[None]:
    """One column has one writer: no need for the slow kernels that make writing by index deterministic."""
    strict, warns = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    window.column, window.width = column, width
    torch.use_deterministic_algorithms(False)
    try:
        yield
    finally:
        window.column = None
        torch.use_deterministic_algorithms(strict, warn_only=warns)


def in_precision(model: PreTrainedModel, dtype: torch.dtype) -> PreTrainedModel:
    """A copy for decoding: weights cast to `dtype`, tied ones still tied, other buffers (rotary frequencies) as is."""
    cast: dict[int, object] = {
        id(weight): nn.Parameter(weight.detach().to(dtype), requires_grad=False) for weight in model.parameters()
    }
    copied: PreTrainedModel = copy.deepcopy(model, cast)
    return copied
