"""Attention without padding, on any model's own forward: the tokens of B rows lie one after the other in one stream.

A model is called with the stream as its only row, positions that start anew for every row, and `packing=` beside them;
what surrounds attention (projections, norms, feed-forward, output layer) then works on real tokens alone. Attention
itself lays the rows out again, a few blocks of like length at a time, so that no row ever sees another. It is
registered with transformers' AttentionInterface, with a mask function under the same name (without one, transformers
would give it no mask at all). Calls without `packing` (sampling, plain batches) get ordinary masked attention.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention.varlen import varlen_attn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import sdpa_mask

from rlhf.learning.last_layer import narrow, reader_of, taken, widen
from rlhf.learning.packing import Block, Packing

NAME = "hone"
_HALF = (torch.bfloat16, torch.float16)


class _ToBlock(torch.autograd.Function):
    """(..., N, D) -> (..., B * Q, D), every real token once. Padding gets no gradient: nothing kept depends on it."""

    @staticmethod
    def forward(ctx: Any, stream: Tensor, block: Block) -> Tensor:
        ctx.block, ctx.num_tokens = block, stream.shape[-2]
        return stream.index_select(-2, block.places)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = gradients
        slots, first = ctx.block.slots, ctx.block.first
        found = gradient.new_zeros(*gradient.shape[:-2], ctx.num_tokens, gradient.shape[-1])
        found[..., first : first + len(slots), :] = gradient.index_select(-2, slots)
        return found, None


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
    reader = reader_of(module)
    if reader is not None:
        reader.begin(packing)
    if packing is None:
        causal = attention_mask is None and query.shape[2] > 1
        return _attend(query, key, value, attention_mask, causal, scale, softcap).transpose(1, 2), None
    if reader is not None and packing.last is not None:
        read = narrow(query, packing, 2)
        return widen(_packed(read, key, value, packing.last.packing, scale, softcap, sliding_window), packing), None
    return _packed(query, key, value, packing, scale, softcap, sliding_window), None


def _packed(
    query: Tensor, key: Tensor, value: Tensor, packing: Packing, scale: float, softcap: float | None, window: int | None
) -> Tensor:
    """Queries (1, H, N, D) of a packing, keys and values of the stream -> (1, N, H, D)."""
    if window is not None and window >= packing.longest:
        window = None
    if query.is_cuda and query.dtype in _HALF and softcap is None:
        return _varlen(query, key, value, packing, scale, window)
    found = [_attend_block(query[0], key[0], value[0], block, scale, softcap, window) for block in packing.blocks]
    filling = packing.num_tokens - packing.num_real
    if filling:
        found.append(found[0].new_zeros(filling, *found[0].shape[1:]))
    return torch.cat(found)[None] if len(found) > 1 else found[0][None]


def _attend_block(
    query: Tensor, key: Tensor, value: Tensor, block: Block, scale: float, softcap: float | None, window: int | None
) -> Tensor:
    """(H, N, D) of the stream -> (tokens of the block, H, D)."""

    def queries(stream: Tensor) -> Tensor:  # (B, H, Q, D)
        if block.num_rows * block.width == len(block.slots):  # nothing to pad
            laid = stream.narrow(1, block.first, len(block.slots))
        else:
            laid = _ToBlock.apply(stream, block)  # type: ignore[no-untyped-call]
        rows: Tensor = laid.unflatten(1, (block.num_rows, block.width)).transpose(0, 1)
        return rows

    def keys(stream: Tensor) -> Tensor:  # (B, H, T, D)
        if block.key_places is None:
            return queries(stream)
        laid = stream.index_select(1, block.key_places)
        rows: Tensor = laid.unflatten(1, (block.num_rows, block.key_width)).transpose(0, 1)
        return rows

    mask = _mask(block, window, query.device)
    found = _attend(queries(query), keys(key), keys(value), mask, mask is None, scale, softcap)  # (B, H, Q, D)
    flat = found.transpose(1, 2).reshape(block.num_rows * block.width, found.shape[1], found.shape[3])
    if len(flat) == len(block.slots):
        return flat
    return taken(flat, block.slots, 0)


def _attend(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool, scale: float, softcap: float | None
) -> Tensor:
    """Attention of (B, H, T, D) queries; mask is boolean, True where a key is seen, and excludes `causal`."""
    if query.device.type == "cpu" and _is_half(query, value):
        # The CPU's flash kernel takes three to five times as long in half precision as in float32, back most of all.
        # Decoding goes the same way, or the sampler's log-probabilities would not be the trainer's.
        half = value.dtype if value.dtype in _HALF else torch.get_autocast_dtype("cpu")
        with torch.autocast("cpu", enabled=False):
            query, key, value = (x.to(half).float() for x in (query, key, value))  # as the kernel would see them
            found = _attend(query, key, value, mask, causal, scale, softcap)
        return found.to(half)
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
        # Not minus infinity: a query that sees nothing (padding on the left) must not become nan.
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return torch.matmul(scores.softmax(-1, dtype=torch.float32).to(value.dtype), value)


def _is_half(query: Tensor, value: Tensor) -> bool:
    """Whether a product of the two is made in half precision here; autocast would see to it at the kernel."""
    return torch.is_autocast_enabled("cpu") or query.dtype in _HALF or value.dtype in _HALF


def _mask(block: Block, window: int | None, device: torch.device) -> Tensor | None:
    """True where a query sees a key: (Q, T) or (B, 1, Q, T) bool; None where that is plainly causal."""
    if block.query_positions is None and (window is None or window >= block.width):
        return None
    columns = torch.arange(block.key_width, device=device)
    positions = columns[:, None] if block.query_positions is None else block.query_positions[:, None, :, None]
    seen = columns <= positions
    return seen if window is None else seen & (columns > positions - window)


def _varlen(query: Tensor, key: Tensor, value: Tensor, packing: Packing, scale: float, window: int | None) -> Tensor:
    """The flash kernel for rows of different lengths, in half precision on a GPU; causal, from the last key back."""
    real = slice(packing.num_real)
    queries, keys, values = (x[0].transpose(0, 1) for x in (query, key, value))  # (N, H, D)
    queries = queries[real]
    keys, values = (x[real if packing.keys is None else packing.keys] for x in (keys, values))
    found = varlen_attn(
        queries,
        keys,
        values,
        packing.query_ends,
        packing.key_ends,
        packing.longest,
        packing.longest,
        scale=scale,
        window_size=(-1 if window is None else window - 1, 0),
        enable_gqa=query.shape[1] != key.shape[1],
    )
    assert isinstance(found, Tensor)  # and no log-sum beside it: none was asked for
    return F.pad(found, (0, 0, 0, 0, 0, packing.num_tokens - packing.num_real))[None]


def can_pack(model: PreTrainedModel) -> bool:
    """Whether the model's attention is this one; another one would let packed rows see each other."""
    return bool(model.config._attn_implementation == NAME)


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
