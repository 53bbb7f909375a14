"""The last layer's feed-forward part works only on tokens whose output somebody reads.

Of a prompt nothing is read behind the last layer, and of a ranked answer only the last token; but a model's own forward
takes every token through every layer. Layers below must (later tokens look back at them); behind the last attention
no token sees another any more. Hooks narrow what goes into the last feed-forward part and lay its output out again, with
zeros where nothing is read: the forward stays the model's own.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from rlhf.learning.packing import Packing

_PART = "mlp"  # what all tested architectures call it
_READER = "_hone_reader"


class _Narrow(torch.autograd.Function):
    """(1, N, d) -> (1, M, d), the tokens at `places`, each once."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(places)
        ctx.shape = states.shape
        return states.index_select(1, places)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (places,) = ctx.saved_tensors
        return gradients[0].new_zeros(ctx.shape).index_copy_(1, places, gradients[0]), None


class _Widen(torch.autograd.Function):
    """(1, M, d) -> (1, N, d), zero at all other places."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, places: Tensor, num_tokens: int) -> Tensor:
        ctx.save_for_backward(places)
        return states.new_zeros(1, num_tokens, states.shape[2]).index_copy_(1, places, states)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (places,) = ctx.saved_tensors
        return gradients[0].index_select(1, places), None, None


class Reader:
    """What is read behind one layer: attention says what the call under way is about, the hooks act on it."""

    def __init__(self) -> None:
        self.packing: Packing | None = None

    def narrow(self, part: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if self.packing is None or self.packing.read is None or part._compiled_call_impl is not None:
            self.packing = None  # a compiled part would have these hooks compiled with it
            return None
        return _Narrow.apply(arguments[0], self.packing.read), *arguments[1:]  # type: ignore[no-untyped-call]

    def widen(self, _: nn.Module, __: tuple[Any, ...], output: Tensor) -> Tensor:
        packing, self.packing = self.packing, None
        if packing is None:
            return output
        wide: Tensor = _Widen.apply(output, packing.read, packing.num_tokens)  # type: ignore[no-untyped-call]
        return wide


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
    for module in (layer, *layer.children()):  # one of these is what attention is called with
        setattr(module, _READER, reader)
    part = getattr(layer, _PART)
    part.register_forward_pre_hook(reader.narrow)
    part.register_forward_hook(reader.widen)
