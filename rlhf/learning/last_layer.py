"""The last layer works only on tokens whose output somebody reads.

Of a prompt nothing is read behind the last layer, and of a ranked answer only the last token; but a model's own forward
takes every token through every layer. Layers below must (later tokens look back at them), and so must the last one's
keys and values. Its queries, output projection and feed-forward part need not: attention asks for the read tokens
alone, and hooks narrow what goes into the other two and lay their output out again, with zeros where nothing is read.
The forward stays the model's own.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from rlhf.learning.packing import Packing

_FEED_FORWARD = "mlp"  # in all tested architectures
_PROJECTIONS = ("o_proj", "c_proj", "dense")  # what they call attention's output projection
_READER = "_hone_reader"


class _Taken(torch.autograd.Function):
    """The tokens at `places`, each once, along a dimension."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, places: Tensor, dimension: int) -> Tensor:
        ctx.save_for_backward(places)
        ctx.shape, ctx.dimension = states.shape, dimension
        return states.index_select(dimension, places)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (places,) = ctx.saved_tensors
        return gradients[0].new_zeros(ctx.shape).index_copy_(ctx.dimension, places, gradients[0]), None, None


class _Widen(torch.autograd.Function):
    """(1, M, ...) -> (1, N, ...), zero at all other places."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, places: Tensor, num_tokens: int) -> Tensor:
        ctx.save_for_backward(places)
        return states.new_zeros(1, num_tokens, *states.shape[2:]).index_copy_(1, places, states)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (places,) = ctx.saved_tensors
        return gradients[0].index_select(1, places), None, None


def taken(states: Tensor, places: Tensor, dimension: int) -> Tensor:
    """The tokens at `places`, each once, along a dimension; the others get no gradient."""
    found: Tensor = _Taken.apply(states, places, dimension)  # type: ignore[no-untyped-call]
    return found


def narrow(states: Tensor, packing: Packing, dimension: int) -> Tensor:
    """The tokens that are read of N along a dimension; `packing.last` is given."""
    assert packing.last is not None
    return taken(states, packing.last.read, dimension)


def widen(states: Tensor, packing: Packing) -> Tensor:
    """(1, M, ...) of the read tokens -> (1, N, ...), zero elsewhere."""
    assert packing.last is not None
    found: Tensor = _Widen.apply(states, packing.last.read, packing.num_tokens)  # type: ignore[no-untyped-call]
    return found


class Reader:
    """What is read behind one layer: its attention says what the call under way is about, the hooks act on it."""

    def __init__(self) -> None:
        self.packing: Packing | None = None  # of a call in which not everything is read

    def begin(self, packing: Packing | None) -> None:
        self.packing = packing if packing is not None and packing.last is not None else None

    def narrow(self, part: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if self.packing is None or _is_compiled(part):
            return None
        return narrow(arguments[0], self.packing, 1), *arguments[1:]

    def widen(self, part: nn.Module, _: tuple[Any, ...], output: Tensor) -> Tensor:
        return output if self.packing is None or _is_compiled(part) else widen(output, self.packing)

    def end(self, *_: Any) -> None:
        """The next call may be one of another attention, which says nothing."""
        self.packing = None


def _is_compiled(part: nn.Module) -> bool:
    """Its hooks would be compiled with it."""
    return part._compiled_call_impl is not None


def reader_of(attention: nn.Module) -> Reader | None:
    """The reader behind an attention, None where it isn't the last layer's."""
    return getattr(attention, _READER, None)


def decoder_layers(model: PreTrainedModel) -> list[nn.Module]:
    """The layers of a decoder: its longest list of modules."""
    lists = [list(module) for module in model.base_model.children() if isinstance(module, nn.ModuleList)]
    return max(lists, key=len, default=[])


def read_only_what_is_asked(model: PreTrainedModel) -> None:
    """Put the hooks into a model once; they do nothing in calls without a packing, or one that reads everything."""
    layer = decoder_layers(model)[-1]
    if reader_of(layer) is not None:
        return
    reader = Reader()
    parts = [getattr(layer, _FEED_FORWARD)]
    for name, module in layer.named_children():
        setattr(module, _READER, reader)  # one of these is what attention is called with
        if name != _FEED_FORWARD:
            parts += [child for name, child in module.named_children() if name in _PROJECTIONS]
    setattr(layer, _READER, reader)
    for part in parts:
        part.register_forward_pre_hook(reader.narrow)
        part.register_forward_hook(reader.widen)
    parts[0].register_forward_hook(reader.end)
