"""Attention without padding, on any model's own forward: the tokens of B rows lie one after the other in one stream.

A model is called with the stream as its only row, positions that start anew for every row, and `packing=` beside them;
what surrounds attention (projections, norms, feed-forward, output layer) then works on real tokens alone. Attention
itself lays the rows out again, a few blocks of like length at a time, so that no row ever sees another. It is
registered with transformers' AttentionInterface, with a mask function under the same name (without one, transformers
would give it no mask at all). Calls without `packing` (sampling, plain batches) get ordinary masked attention.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention.varlen import varlen_attn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import sdpa_mask

NAME = "hone"
_SPLIT_BELOW = 0.75  # a block ends where rows get shorter than this share of its width ...
_SPLIT_AFTER = 256  # ... if it holds this many tokens already: a block costs some ten kernel calls a layer
_HALF = (torch.bfloat16, torch.float16)


@dataclass(frozen=True)
class Block:
    """B rows of up to T tokens, as places in the stream: `stream[places]` is (B * T), of which `slots` are real."""

    first: int  # the block's tokens are stream[first : first + len(slots)], rows in order
    num_rows: int
    width: int
    places: Tensor  # (B * T,) int64 into the stream; padding repeats the row's last token, which nothing sees
    slots: Tensor  # (tokens of the block,) int64 into (B * T)


@dataclass(frozen=True)
class Packing:
    """How a stream of N tokens falls into rows. Tokens past the last block fill the stream up to a bucket."""

    num_tokens: int  # N, with the filling
    blocks: tuple[Block, ...]
    cumulative_lengths: Tensor  # (B + 1,) int32, for the kernels of a GPU
    longest: int


def pack(lengths: Sequence[int], num_tokens: int, device: torch.device | str) -> Packing:
    """The packing of rows of these lengths, each at least 1, longest first (or blocks would be wider than need be).

    Args:
        num_tokens: length of the stream, at least sum(lengths).
    """
    assert lengths and min(lengths) >= 1 and sum(lengths) <= num_tokens, (lengths, num_tokens)
    blocks, first, begin = [], 0, 0
    while begin < len(lengths):
        end, width, held = begin, max(lengths[begin:]), 0
        while end < len(lengths) and (held < _SPLIT_AFTER or lengths[end] > _SPLIT_BELOW * width):
            held += lengths[end]
            end += 1
        blocks.append(_block(first, lengths[begin:end], device))
        first, begin = first + held, end
    ends = torch.tensor([0, *lengths]).cumsum(0)
    return Packing(num_tokens, tuple(blocks), ends.to(torch.int32).to(device), max(lengths))


def _block(first: int, lengths: Sequence[int], device: torch.device | str) -> Block:
    counts = torch.tensor(lengths)
    width = int(counts.max())
    starts = counts.cumsum(0) - counts
    positions = torch.arange(width)
    places = first + starts[:, None] + torch.minimum(positions, counts[:, None] - 1)  # (B, T)
    slots = (positions < counts[:, None]).flatten().nonzero().squeeze(-1)
    return Block(first, len(lengths), width, places.flatten().to(device), slots.to(device))


class _ToBlock(torch.autograd.Function):
    """(..., N, D) -> (..., B * T, D). Padding gets no gradient: nothing that is kept depends on it."""

    @staticmethod
    def forward(ctx: Any, stream: Tensor, places: Tensor, slots: Tensor, first: int) -> Tensor:
        ctx.save_for_backward(slots)
        ctx.first, ctx.num_tokens = first, stream.shape[-2]
        return stream.index_select(-2, places)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (slots,) = ctx.saved_tensors
        (gradient,) = gradients
        found = gradient.new_zeros(*gradient.shape[:-2], ctx.num_tokens, gradient.shape[-1])
        found[..., ctx.first : ctx.first + len(slots), :] = gradient.index_select(-2, slots)
        return found, None, None, None


class _ToStream(torch.autograd.Function):
    """(B * T, ...) -> (tokens of the block, ...)."""

    @staticmethod
    def forward(ctx: Any, block: Tensor, slots: Tensor) -> Tensor:
        ctx.save_for_backward(slots)
        ctx.shape = block.shape
        return block.index_select(0, slots)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (slots,) = ctx.saved_tensors
        return gradients[0].new_zeros(ctx.shape).index_copy_(0, slots, gradients[0]), None


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    softcap: float | None = None,
    sliding_window: int | None = None,
    packing: Packing | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """What transformers calls for every layer. Dropout is not among the arguments: it is off in every stage.

    query: (B, H, T, D). key, value: (B, K, S, D), K heads shared by H / K queries each. Returns (B, T, H, D).
    """
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if packing is None:
        causal = attention_mask is None and query.shape[2] > 1
        return _attend(query, key, value, attention_mask, causal, scale, softcap).transpose(1, 2), None
    window = sliding_window if sliding_window is not None and sliding_window < packing.longest else None
    if query.is_cuda and query.dtype in _HALF and softcap is None:
        return _varlen(query, key, value, packing, scale, window), None
    found = [_attend_block(query, key, value, block, scale, softcap, window) for block in packing.blocks]
    filling = packing.num_tokens - sum(len(part) for part in found)
    if filling:
        found.append(found[0].new_zeros(filling, *found[0].shape[1:]))
    return torch.cat(found)[None] if len(found) > 1 else found[0][None], None  # (1, N, H, D)


def _attend_block(
    query: Tensor, key: Tensor, value: Tensor, block: Block, scale: float, softcap: float | None, window: int | None
) -> Tensor:
    rows, width = block.num_rows, block.width

    def lay_out(stream: Tensor) -> Tensor:  # (1, H, N, D) -> (B, H, T, D)
        laid: Tensor = _ToBlock.apply(stream[0], block.places, block.slots, block.first)  # type: ignore[no-untyped-call]
        return laid.view(len(laid), rows, width, -1).transpose(0, 1)

    mask = _window_mask(width, window, query.device) if window is not None and window < width else None
    found = _attend(lay_out(query), lay_out(key), lay_out(value), mask, mask is None, scale, softcap)  # (B, H, T, D)
    flat = found.transpose(1, 2).reshape(rows * width, found.shape[1], found.shape[3])
    stream: Tensor = _ToStream.apply(flat, block.slots)  # type: ignore[no-untyped-call]
    return stream  # (tokens, H, D)


def _attend(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool, scale: float, softcap: float | None
) -> Tensor:
    """Attention of (B, H, T, D) queries; mask is boolean, True where a key is seen, and excludes `causal`."""
    if softcap is None:
        groups = query.shape[1] // key.shape[1]
        if query.shape[2] == 1 and groups > 1:  # decoding: the queries that share a key are rows of one product
            found = F.scaled_dot_product_attention(
                query.view(query.shape[0], key.shape[1], groups, -1), key, value, attn_mask=mask, scale=scale
            )
            return found.reshape(query.shape)
        return F.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, is_causal=causal, scale=scale, enable_gqa=groups > 1
        )
    key = key.repeat_interleave(query.shape[1] // key.shape[1], 1)
    value = value.repeat_interleave(query.shape[1] // value.shape[1], 1)
    scores = softcap * torch.tanh(torch.matmul(query, key.transpose(-1, -2)) * (scale / softcap))
    if causal:
        mask = torch.ones(query.shape[2], key.shape[2], dtype=torch.bool, device=query.device).tril()
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    return torch.matmul(scores.softmax(-1, dtype=torch.float32).to(value.dtype), value)


def _window_mask(width: int, window: int, device: torch.device) -> Tensor:
    """(T, T) bool: causal, and no further back than `window` tokens with the token itself."""
    whole = torch.ones(width, width, dtype=torch.bool, device=device)
    return whole.tril() & whole.triu(1 - window)


def _varlen(query: Tensor, key: Tensor, value: Tensor, packing: Packing, scale: float, window: int | None) -> Tensor:
    """The flash kernel for rows of different lengths, in half precision on a GPU."""
    real = int(sum(len(block.slots) for block in packing.blocks))
    parts = (x[0].transpose(0, 1)[:real] for x in (query, key, value))  # (N, H, D)
    ends, longest = packing.cumulative_lengths, packing.longest
    found: Tensor = varlen_attn(
        *parts,
        ends,
        ends,
        longest,
        longest,
        scale=scale,
        window_size=(-1 if window is None else window - 1, 0),
        enable_gqa=query.shape[1] != key.shape[1],
    )
    return F.pad(found, (0, 0, 0, 0, 0, packing.num_tokens - real))[None]


def can_pack(model: PreTrainedModel) -> bool:
    """Whether the model's attention is this one; another one would let packed rows see each other."""
    return bool(model.config._attn_implementation == NAME)


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
