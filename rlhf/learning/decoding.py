"""The decode loop: rows of a batch, each at its own position, that are refilled as they finish.

A prompt is read once however many samples it gets. All rows write the same column of the cache at a step; a row that
joins later lies as far right as those that are there, so that no row is ever padded behind. When nothing is left to
join, finished rows are dropped. Noise belongs to a completion, so it doesn't matter when and beside what one is drawn.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from rlhf.learning.attention import can_pack
from rlhf.learning.cache import Window, make_cache
from rlhf.learning.forward import model_inputs
from rlhf.learning.noise import uniform
from rlhf.learning.policy import Policy
from rlhf.learning.replay import Step, in_precision
from rlhf.learning.text import Encoded, left_pad, right_pad

_REFILL_SHARE = 8  # rows join when this part of the batch is free: reading few prompts at a time is slow


@dataclass(frozen=True)
class Job:
    """One completion to draw: the place of its prompt among those given, its tokens, and the key of its noise."""

    prompt: int
    prompt_ids: list[int]
    key: int


@dataclass(frozen=True)
class Drawn:
    """A completion: its tokens, whether it ended by itself, and the sum of its log-probabilities as the sampler saw
    them."""

    ids: list[int]
    finished: bool
    log_probability: float


class Decoder:
    """Up to `batch_size` rows that are decoded together. `logits` (B, V) are those of every row's next token."""

    def __init__(
        self,
        policy: Policy,
        jobs: Sequence[Job],
        *,
        temperature: float,
        max_new_tokens: int,
        batch_size: int,
        replay: bool | None = None,
    ) -> None:
        """Args:
        jobs: longest prompts first; those of one prompt stand together.
        replay: steps over fixed buffers (`rlhf.learning.replay`); None: on a GPU, where the model allows it.
        """
        device = policy.model.device
        self.sees_everything = _sees_everything(policy.model)
        self.replay = (device.type == "cuda" if replay is None else replay) and self.sees_everything
        if self.replay and torch.is_autocast_enabled(device.type):
            policy = dataclasses.replace(
                policy, model=in_precision(policy.model, torch.get_autocast_dtype(device.type))
            )
        self.policy, self.jobs, self.temperature = policy, jobs, temperature
        self.limit = max_new_tokens
        self.next_job = 0
        size = min(batch_size, len(jobs))
        self.job_of = np.full(size, -1)  # (B,) what each row works on, -1: nothing
        self.num_ids = np.zeros(size, np.int64)
        self.lengths = np.zeros(size, np.int64)  # (B,) tokens so far, prompt included
        self.keys = np.zeros(size, np.uint64)
        self.ids = np.zeros((size, max_new_tokens), np.int64)
        self.totals = np.zeros(size)
        longest = len(jobs[0].prompt_ids)
        self.room = longest + max_new_tokens + max(64, (longest + max_new_tokens) // 2)
        self.mask = torch.zeros(size, self.room, dtype=torch.bool, device=device)
        self.stops = torch.tensor(sorted(policy.stop_ids), device=device)
        self.window = Window()
        self.cache, self.layers = make_cache(policy.model, self.window)
        self.logits = torch.zeros(size, 0, device=device)
        self.step: Step | None = None

    def run(self) -> Iterator[tuple[int, Drawn]]:
        """(place among the jobs, completion) of every job, in the order in which they end."""
        with torch.autocast(self.mask.device.type, enabled=False) if self.replay else contextlib.nullcontext():
            yield from self._run()

    def _run(self) -> Iterator[tuple[int, Drawn]]:
        while self.next_job < len(self.jobs) or (self.job_of >= 0).any():
            free = np.flatnonzero(self.job_of < 0)
            if self.next_job < len(self.jobs) and _REFILL_SHARE * len(free) >= len(self.job_of):
                self._join(free)
            tokens = self._pick()
            yield from self._take_ended(tokens)
            going = np.flatnonzero(self.job_of >= 0)
            if len(going) == 0:
                continue
            if self.next_job == len(self.jobs) and len(going) <= smaller_bucket(len(self.job_of)):
                self._keep(going)
                tokens = tokens[torch.from_numpy(going).to(tokens.device)]
            self._forward(tokens)

    def _join(self, rows: NDArray[np.int64]) -> None:
        """Give the free rows the next jobs; their prompts are read together, each once."""
        taken = range(self.next_job, min(self.next_job + len(rows), len(self.jobs)))
        rows, self.next_job = rows[: len(taken)], taken.stop
        jobs = [self.jobs[job] for job in taken]
        order = {prompt: place for place, prompt in enumerate(dict.fromkeys(job.prompt for job in jobs))}
        prompts = list({job.prompt: job.prompt_ids for job in jobs}.values())
        device = self.mask.device
        logits, read = _read_prompts(self.policy, prompts)
        width = len(max(prompts, key=len))
        self._make_room(width)
        chosen = torch.from_numpy(rows).to(device)
        source = torch.tensor([order[job.prompt] for job in jobs], device=device)
        self.lengths[rows] = [len(job.prompt_ids) for job in jobs]
        counts = torch.from_numpy(self.lengths[rows]).to(device)
        columns = slice(self.window.end - width, self.window.end)
        for layer, (keys, values) in zip(self.layers, read, strict=True):
            layer.lay_out(chosen, columns, len(self.job_of), self.room, keys[source], values[source])
        self.mask[chosen] = False
        self.mask[chosen, columns] = torch.arange(width, device=device) >= width - counts[:, None]
        if self.logits.shape[1] == 0:
            self.logits = logits.new_zeros(len(self.job_of), logits.shape[1])
        self.logits[chosen] = logits[source]
        self.job_of[rows], self.num_ids[rows], self.totals[rows] = list(taken), 0, 0.0
        self.keys[rows] = np.array([job.key for job in jobs], np.uint64)

    def _make_room(self, width: int) -> None:
        """Open the window for prompts of up to `width` tokens, and close it to what nobody looks at any more."""
        self.window.end = max(self.window.end, width)
        self.window.begin = self.window.end - max(self._longest(), width)

    def _longest(self) -> int:
        return int(self.lengths[self.job_of >= 0].max(initial=0))

    def _pick(self) -> Tensor:
        tokens, log_probabilities = pick(self.logits, self.temperature, uniform(self.keys, self.num_ids))  # (B,)
        busy = np.flatnonzero(self.job_of >= 0)
        self.ids[busy, self.num_ids[busy]] = tokens.cpu().numpy()[busy]
        self.totals[busy] += log_probabilities.cpu().numpy()[busy]
        self.num_ids[busy] += 1
        return tokens

    def _take_ended(self, tokens: Tensor) -> Iterator[tuple[int, Drawn]]:
        stopped = torch.isin(tokens, self.stops).cpu().numpy()
        for row in np.flatnonzero((self.job_of >= 0) & (stopped | (self.num_ids == self.limit))):
            found = Drawn(self.ids[row, : self.num_ids[row]].tolist(), bool(stopped[row]), float(self.totals[row]))
            yield int(self.job_of[row]), found
            self.job_of[row], self.num_ids[row] = -1, 0

    def _keep(self, rows: NDArray[np.int64]) -> None:
        """Drop all other rows."""
        kept = torch.from_numpy(rows).to(self.mask.device)
        for layer in self.layers:
            layer.keep(kept)
        self.mask = self.mask[kept]
        self.step = None
        self.job_of, self.num_ids, self.lengths = self.job_of[rows], self.num_ids[rows], self.lengths[rows]
        self.keys, self.ids, self.totals = self.keys[rows], self.ids[rows], self.totals[rows]

    def _shift(self) -> None:
        """Move the window to the left end of the room."""
        begin, end = self.window.begin, self.window.end
        for layer in self.layers:
            layer.shift(begin, end)
        self.mask[:, : end - begin] = self.mask[:, begin:end].clone()
        self.mask[:, end - begin :] = False  # steps over fixed buffers look behind the window too
        self.window.begin, self.window.end = 0, end - begin

    def _forward(self, tokens: Tensor) -> None:
        if self.window.end == self.room:
            self.window.begin = self.window.end - self._longest()
            self._shift()
        self.mask[:, self.window.end] = True
        positions = torch.from_numpy(self.lengths.copy()).to(self.mask.device)
        self.logits = self._replayed(tokens, positions) if self.replay else self._grown(tokens, positions)
        self.lengths += self.job_of >= 0  # a row that ended and waits stays within the model's positions
        self.window.end += 1

    def _replayed(self, tokens: Tensor, positions: Tensor) -> Tensor:
        if self.step is None:
            self.step = Step(self.policy.model, self.cache, self.window, self.mask)
        return self.step(tokens, positions, self.window.end)

    def _grown(self, tokens: Tensor, positions: Tensor) -> Tensor:
        seen = self.mask[:, self.window.begin : self.window.end + 1]
        logits: Tensor = self.policy.model(
            input_ids=tokens[:, None],
            # (B, 1, 1, T) is taken as it is; a model that limits how far it looks back makes its own of (B, T).
            attention_mask=seen[:, None, None] if self.sees_everything else seen.long(),
            position_ids=positions[:, None],
            past_key_values=self.cache,
            use_cache=True,
        ).logits[:, -1]  # (B, V)
        return logits


def _sees_everything(model: PreTrainedModel) -> bool:
    """Whether one mask fits all layers and is ours to make."""
    config = model.config.get_text_config()
    return can_pack(model) and getattr(config, "sliding_window", None) is None


def _read_prompts(policy: Policy, prompts: Sequence[list[int]]) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
    """Logits (P, V) behind every prompt, and each layer's keys and values (P, K, T, D), prompts at the right end."""
    model, device = policy.model, policy.model.device
    cache, layers = make_cache(model, Window())
    if not can_pack(model):
        padded = left_pad(prompts, policy.pad_id, device)
        logits = model(
            input_ids=padded.input_ids,
            attention_mask=padded.attention_mask,
            position_ids=padded.position_ids,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        return logits, [layer.held() for layer in layers]
    batch = right_pad([Encoded(row, ids, []) for row, ids in enumerate(prompts)], policy.pad_id, device)
    stream = batch.stream
    inputs = model_inputs(model, batch, last_only=True)[0] | {"past_key_values": cache, "use_cache": True}
    logits = model(**inputs, logits_to_keep=stream.last).logits[0]
    width = batch.input_ids.shape[1]
    columns = torch.arange(width, device=device) - (width - batch.lengths[:, None])  # (P, T), below 0 before it
    places = (stream.last[:, None] - batch.lengths[:, None] + 1 + columns).clamp(min=0).flatten()

    def rows(states: Tensor) -> Tensor:  # (1, K, N, D) -> (P, K, T, D)
        found: Tensor = states[0].index_select(1, places).unflatten(1, (len(prompts), width)).transpose(0, 1)
        return found

    read = [layer.held() for layer in layers]
    return logits, [(rows(keys), rows(values)) for keys, values in read]


def pick(logits: Tensor, temperature: float, uniforms: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
    """One token a row: the likeliest at temperature 0, else the inverse of the cumulative distribution at `uniforms`.

    Args:
        logits: (B, V).
        uniforms: (B,) in (0, 1).

    Returns:
        Tokens (B,) int64 and their log-probabilities (B,) float32 at the temperature (at 1 when it is 0).
    """
    logits = logits.float()
    if temperature not in (0.0, 1.0):
        logits = logits / temperature
    probabilities = logits.softmax(-1)
    if temperature == 0.0:
        tokens = logits.argmax(-1)
    else:
        cumulative = probabilities.cumsum(-1)
        points = torch.from_numpy(uniforms).to(logits.device)[:, None] * cumulative[:, -1:]
        # right=True: the first entry above the point, so a token of probability zero is never taken
        tokens = torch.searchsorted(cumulative, points, right=True).squeeze(-1).clamp(max=logits.shape[-1] - 1)
    return tokens, probabilities.gather(-1, tokens[:, None]).squeeze(-1).log()


def smaller_bucket(num_rows: int) -> int:
    """The batch size to shrink to next: 2^k or 3 * 2^(k-1), the largest below `num_rows`.

    Rows are dropped in these steps only: copying the cache for each finished row costs more than decoding a few
    rows too many, and a kernel is compiled for every new shape.
    """
    power = 1 << (num_rows - 1).bit_length() >> 1  # the largest power of two below num_rows
    return power * 3 // 2 if power * 3 // 2 < num_rows and power > 1 else power
