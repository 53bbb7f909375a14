"""Rows laid out as one stream without padding, and a prompt that several rows share laid out once.

The stream holds prompts that are shared, then the completions behind them, then rows that stand alone. Attention works
on blocks of like length: the queries of a block's rows, and their keys (of a completion: its prompt and itself).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_SPLIT_BELOW = 0.75  # a block ends where rows get shorter than this share of its width ...
_SPLIT_AFTER = 256  # ... if it holds this many tokens already: a block costs some ten kernel calls a layer
_MOST_READ = 0.9  # of the tokens: where more are read, gathering them costs what the others would
_SHORTEST_SHARED = 8  # tokens; a shorter prompt is cheaper to repeat

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Block:
    """B rows: up to Q queries each, at stream[first : first + len(slots)], and up to T keys each, Q at their end."""

    first: int
    num_rows: int
    width: int  # Q
    places: Tensor  # (B * Q,) int64 into the stream; padding repeats the row's last token, which nothing sees
    slots: Tensor  # (queries,) int64 into (B * Q), the real ones
    key_width: int  # T
    key_places: Tensor | None  # (B * T,) int64 into the stream, prompts repeated; None where keys are the queries
    query_positions: Tensor | None  # (B, Q) int64 among the row's keys; None where keys are the queries


@dataclass(frozen=True)
class LastLayer:
    """The tokens of a stream whose output is read behind the last layer, and how those alone fall into rows."""

    read: Tensor  # (M,) int64 places in the stream, each once
    packing: Packing  # queries are these M tokens; keys lie in the whole stream


@dataclass(frozen=True)
class Packing:
    """How a stream of N tokens falls into rows. Tokens past the last block fill the stream up to a bucket."""

    num_tokens: int  # N, with the filling
    num_real: int
    blocks: tuple[Block, ...]
    # For the kernels of a GPU, which take rows of any length: every row's end among queries and among keys.
    query_ends: Tensor  # (B + 1,) int32
    key_ends: Tensor  # (B + 1,) int32
    keys: Tensor | None  # places of all rows' keys in the stream; None where they are the stream
    longest: int
    last: LastLayer | None = None  # None: the last layer works on every token, too


@dataclass(frozen=True)
class Stream:
    """A batch as one row of N tokens, and where to find in it what a batch is read at."""

    source: Tensor  # (N,) int64: the token's place in the flattened (B, T)
    position_ids: Tensor  # (1, N)
    predicts: Tensor  # (completion tokens,) int64: the token that each is predicted from, rows in order
    last: Tensor  # (B,) int64: every row's last real token
    packing: Packing  # all of whose tokens are read
    rows: tuple[_Rows, ...]
    wanted: tuple[Indices, Indices]  # `predicts` and `last`, not on the device

    @cached_property
    def for_predicting(self) -> Packing:
        """Of which only those tokens are read that predict a completion token."""
        return _reading(self.packing, self.rows, self.wanted[0], self.source.device)

    @cached_property
    def for_last(self) -> Packing:
        """Of which only every row's last token is read."""
        return _reading(self.packing, self.rows, self.wanted[1], self.source.device)


@dataclass(frozen=True)
class _Rows:
    """Rows of one sort: queries [begin, end) and keys [0, end) of the batch's row, which lies in the stream in two
    pieces: tokens before `split` from `prompt_at` on (a prompt that it shares), the others from `own_at` on."""

    row: Indices
    split: Indices
    begin: Indices
    end: Indices
    prompt_at: Indices  # of no meaning where split is 0
    own_at: Indices

    def some(self, chosen: slice | NDArray[np.bool_]) -> _Rows:
        return _Rows(*(getattr(self, field.name)[chosen] for field in fields(self)))

    @property
    def count(self) -> int:
        """Of queries."""
        return int((self.end - self.begin).sum())


def bucket(num_tokens: int) -> int:
    """`num_tokens` rounded up by at most 1/16: half-precision kernels of a CPU are compiled for every new shape."""
    step = max(8, 1 << max(0, num_tokens.bit_length() - 5))
    return -(-num_tokens // step) * step


def lay_out(
    prompt_lengths: Sequence[int],
    lengths: Sequence[int],
    prompt_groups: Sequence[int],
    width: int,
    device: torch.device | str,
) -> Stream:
    """The stream of B rows.

    Args:
        prompt_lengths, lengths: of the rows, prompts of at least one token.
        prompt_groups: rows with equal numbers have equal prompts.
        width: T of the padded batch that `Stream.source` points into.
    """
    members: dict[int, list[int]] = defaultdict(list)
    for row, group in enumerate(prompt_groups):
        members[group].append(row)
    shared = [rows for rows in members.values() if len(rows) > 1 and prompt_lengths[rows[0]] >= _SHORTEST_SHARED]
    alone = sorted(set(range(len(lengths))) - {row for rows in shared for row in rows})
    total, of_prompt = np.array(lengths, np.int64), np.array(prompt_lengths, np.int64)
    starts = np.zeros(len(lengths), np.int64)  # of the row's own tokens in the stream, less their position
    prompts_at = np.zeros(len(lengths), np.int64)  # of the row's token 0
    parts: list[_Rows] = []
    place = 0
    heads = sorted((rows[0] for rows in shared), key=lambda row: -of_prompt[row])
    tails = sorted((row for rows in shared for row in rows if total[row] > of_prompt[row]), key=lambda row: -total[row])
    singles = sorted(alone, key=lambda row: -total[row])
    of_head = {row: rows[0] for rows in shared for row in rows}
    for chosen, begins, ends in ((heads, 0 * total, of_prompt), (tails, of_prompt, total), (singles, 0 * total, total)):
        index = np.array(chosen, np.int64)
        counts = ends[index] - begins[index]
        at = place + counts.cumsum() - counts
        place += int(counts.sum())
        if chosen is tails:
            starts[index] = at - begins[index]
        else:
            prompts_at[index] = at
            starts[index] = at
        if chosen is heads:  # every row of the group finds the prompt where its first row put it
            rows_of = np.array(list(of_head), np.int64)
            prompts_at[rows_of] = prompts_at[np.array(list(of_head.values()), np.int64)]
            starts[rows_of] = prompts_at[rows_of]
        parts.append(_Rows(index, begins[index], begins[index], ends[index], prompts_at[index], at))
    return _stream(parts, total, of_prompt, starts, prompts_at, place, width, device)


def _stream(
    parts: Sequence[_Rows],
    total: Indices,
    of_prompt: Indices,
    starts: Indices,
    prompts_at: Indices,
    num_real: int,
    width: int,
    device: torch.device | str,
) -> Stream:
    num_tokens = bucket(num_real)
    position = np.concatenate([_ranges(part.begin, part.end) for part in parts])
    row = np.concatenate([np.repeat(part.row, part.end - part.begin) for part in parts])
    filling = np.zeros(num_tokens - num_real, np.int64)
    # A completion token is predicted from the one before it; the first one from the prompt's last, which may be shared.
    counts = total - of_prompt
    before = _ranges(of_prompt - 1, total - 1)
    of_row = np.repeat(np.arange(len(total)), counts)
    in_prompt = before < of_prompt[of_row]
    predicts = np.where(in_prompt, prompts_at[of_row], starts[of_row]) + before
    last = np.where(counts > 0, starts, prompts_at) + total - 1

    def tensor(values: Indices) -> Tensor:
        return torch.from_numpy(values).to(device)

    packing = _packing(parts, num_tokens, num_real, device)
    return Stream(
        source=tensor(np.concatenate([row * width + position, filling])),
        position_ids=tensor(np.concatenate([position, filling]))[None],
        predicts=tensor(predicts),
        last=tensor(last),
        packing=packing,
        rows=tuple(parts),
        wanted=(predicts, last),
    )


def _reading(packing: Packing, parts: Sequence[_Rows], places: Indices, device: torch.device | str) -> Packing:
    """The packing of which only `places` are read behind the last layer; itself where that is nearly all of it."""
    wanted = np.zeros(packing.num_tokens, bool)
    wanted[places] = True
    read = wanted.nonzero()[0]
    count = bucket(len(read))
    if not len(read) or count > _MOST_READ * packing.num_tokens:
        return packing
    narrowed = []
    for part in parts:
        low, high = (read.searchsorted(part.own_at + n) for n in (0, part.end - part.begin))
        some = part.some(high > low)
        first, last = read[low[high > low]], read[high[high > low] - 1]  # what is read of a row stands together
        begin, end = (some.split + place - some.own_at for place in (first, last + 1))
        narrowed.append(replace(some, begin=begin, end=end))
    others = (~wanted).nonzero()[0][: count - len(read)]  # they fill the bucket
    places = np.concatenate([read, others])
    return replace(
        packing, last=LastLayer(torch.from_numpy(places).to(device), _packing(narrowed, count, len(read), device))
    )


def _packing(parts: Sequence[_Rows], num_tokens: int, num_real: int, device: torch.device | str) -> Packing:
    blocks, first = [], 0
    for part in parts:
        begin = 0
        while begin < len(part.row):
            last, held, widest = begin, 0, int(part.end[begin])
            while last < len(part.row) and (held < _SPLIT_AFTER or part.end[last] > _SPLIT_BELOW * widest):
                held += int(part.end[last] - part.split[last])
                last += 1
            rows = part.some(slice(begin, last))
            blocks.append(_block(first, rows, device))
            first, begin = first + rows.count, last
    every = _Rows(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(_Rows)))
    keys = None
    if every.begin.any():
        position, row = _ranges(0 * every.end, every.end), np.repeat(np.arange(len(every.end)), every.end)
        keys = _key_places(position, every.split[row], every.prompt_at[row], every.own_at[row])
    return Packing(
        num_tokens=num_tokens,
        num_real=num_real,
        blocks=tuple(blocks),
        query_ends=torch.from_numpy(np.concatenate([[0], (every.end - every.begin).cumsum()]).astype(np.int32)).to(
            device
        ),
        key_ends=torch.from_numpy(np.concatenate([[0], every.end.cumsum()]).astype(np.int32)).to(device),
        keys=None if keys is None else torch.from_numpy(keys).to(device),
        longest=int(every.end.max()),
    )


def _block(first: int, rows: _Rows, device: torch.device | str) -> Block:
    counts = rows.end - rows.begin  # (B,)
    width, key_width = int(counts.max()), int(rows.end.max())
    own_at = first + counts.cumsum() - counts  # (B,)
    columns = np.arange(width)
    places = own_at[:, None] + np.minimum(columns, counts[:, None] - 1)  # (B, Q)
    slots = (columns < counts[:, None]).ravel().nonzero()[0]
    key_places = positions = None
    if rows.begin.any():
        key_columns = np.minimum(np.arange(key_width), rows.end[:, None] - 1)  # (B, T)
        key_places = _key_places(key_columns, rows.split[:, None], rows.prompt_at[:, None], rows.own_at[:, None])
        positions = rows.begin[:, None] + np.minimum(columns, counts[:, None] - 1)

    def tensor(values: Indices) -> Tensor:
        return torch.from_numpy(values).to(device)

    return Block(
        first=first,
        num_rows=len(rows.row),
        width=width,
        places=tensor(places.ravel()),
        slots=tensor(slots),
        key_width=key_width,
        key_places=None if key_places is None else tensor(key_places.ravel()),
        query_positions=None if positions is None else tensor(positions),
    )


def _key_places(position: Indices, split: Indices, prompt_at: Indices, own_at: Indices) -> Indices:
    """Where in the stream tokens lie, by their positions in their rows."""
    found: Indices = np.where(position < split, prompt_at + position, own_at + position - split)
    return found


def _ranges(begins: Indices, ends: Indices) -> Indices:
    """begins[0] .. ends[0] - 1, begins[1] .. ends[1] - 1, ... one after the other."""
    counts = ends - begins
    found: Indices = np.arange(int(counts.sum())) - np.repeat(counts.cumsum() - counts - begins, counts)
    return found
