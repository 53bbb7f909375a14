"""A cache of keys and values for rows that come and go: written in place, with room, one window for all layers."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from rlhf.learning.policy import ModelError


class Window:
    """Columns [begin, end) of the cache hold something; all layers share one window.

    While `column` is given, a step writes that column (read on the device) and sees the first `width` ones, whatever
    the mask hides of them: shapes that don't change can be recorded, see `rlhf.learning.replay`.
    """

    def __init__(self) -> None:
        self.begin = self.end = 0
        self.column: Tensor | None = None  # (1,) int64
        self.width = 0


class Layer(DynamicLayer):
    """A layer's cache with room: a step writes one column in place. Before rows are laid out it keeps what it gets."""

    def __init__(self, window: Window) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.window = window
        self.buffers: tuple[Tensor, Tensor] | None = None  # (B, K, room, D) each

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        if self.buffers is None:
            self.keys, self.values, self.is_initialized = key_states, value_states, True
            return key_states, value_states
        if self.window.column is not None:
            for buffer, states in zip(self.buffers, (key_states, value_states), strict=True):
                buffer.index_copy_(2, self.window.column, states)
            keys, values = self.buffers
            return keys[:, :, : self.window.width], values[:, :, : self.window.width]
        begin, end = self.window.begin, self.window.end
        for buffer, states in zip(self.buffers, (key_states, value_states), strict=True):
            buffer[:, :, end : end + 1] = states
        keys, values = self.buffers
        return keys[:, :, begin : end + 1], values[:, :, begin : end + 1]

    def lay_out(self, rows: Tensor, columns: slice, num_rows: int, room: int, *states: Tensor) -> None:
        """Write keys and values, (P, K, T, D) each, into some rows and columns of the buffers, made where missing."""
        if self.buffers is None:
            keys, values = (x.new_zeros(num_rows, x.shape[1], room, x.shape[3]) for x in states)
            self.buffers, self.is_initialized = (keys, values), True
        for buffer, written in zip(self.buffers, states, strict=True):
            buffer[rows, :, columns] = written

    def held(self) -> tuple[Tensor, Tensor]:
        """What the one forward before any buffers wrote."""
        assert self.keys is not None and self.values is not None
        return self.keys, self.values

    def keep(self, rows: Tensor) -> None:
        assert self.buffers is not None
        keys, values = self.buffers
        self.buffers = keys.index_select(0, rows), values.index_select(0, rows)

    def shift(self, begin: int, end: int) -> None:
        assert self.buffers is not None
        for buffer in self.buffers:
            buffer[:, :, : end - begin] = buffer[:, :, begin:end].clone()

    def get_seq_length(self) -> int:
        return 0 if self.buffers is None else self.window.end - self.window.begin


def make_cache(model: PreTrainedModel, window: Window) -> tuple[DynamicCache, list[Layer]]:
    """A cache for the model, and its layers. Raises ModelError for layers that keep anything but keys and values."""
    cache = DynamicCache(config=model.config)
    others = sorted({type(layer).__name__ for layer in cache.layers} - {"DynamicLayer", "DynamicSlidingWindowLayer"})
    if others:
        raise ModelError(f"{model.config.model_type}: expected layers that cache keys and values, found {others}")
    # Windows of attention are kept by the mask: a row that joins late brings its own past.
    layers = [Layer(window) for _ in cache.layers]
    cache.layers = list(layers)
    return cache, layers
