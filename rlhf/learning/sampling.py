"""Completions from a policy: one shared prefill for the samples of a prompt, finished rows dropped.

Ancestral sampling from the whole distribution (no top-k, no top-p: 2403.17031) by inversion of the cumulative
distribution. The uniform number behind every token is a hash of (seed, prompt id, sample index, position), so a
completion doesn't depend on the rows beside it, their order or the batch size, up to rounding in the logits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import DynamicCache

from rlhf.learning import tables
from rlhf.learning.configs import SampleConfig
from rlhf.learning.loop import Run, autocast, set_up
from rlhf.learning.policy import Policy, load_policy, require_room
from rlhf.learning.text import decode, encode_prompt, left_pad


@dataclass(frozen=True)
class Prompt:
    """A prompt's id, which seeds its noise, and its tokens."""

    prompt_id: int
    ids: list[int]


@dataclass(frozen=True)
class Sample:
    """One completion."""

    prompt_id: int
    sample_index: int
    ids: list[int]  # end-of-text included where there is one
    finished: bool  # ended by end-of-text, not by the length limit
    log_probability: float  # sum over ids at the sampling temperature, nats; the sampler's own, for gap metrics only


def sample(
    policy: Policy,
    prompts: Sequence[Prompt],
    *,
    num_samples: int,
    temperature: float,
    max_new_tokens: int,
    seed: int,
    batch_size: int,
    on_batch: Callable[[int, int], None] | None = None,
) -> list[Sample]:
    """`num_samples` completions of every prompt.

    Args:
        temperature: logits are divided by it; 0 takes the likeliest token and counts log-probabilities at 1.
        batch_size: rows decoded together.
        on_batch: called after each batch with (completions done, completions in all).

    Returns:
        Samples ordered by prompt as given, then by sample index.
    """
    found: dict[tuple[int, int], Sample] = {}
    for batch in batches(prompts, num_samples, batch_size):
        found |= decode_batch(policy, prompts, batch, temperature, max_new_tokens, seed)
        if on_batch is not None:
            on_batch(len(found), len(prompts) * num_samples)
    return [found[i, j] for i in range(len(prompts)) for j in range(num_samples)]


@dataclass(frozen=True)
class Rows:
    """What is decoded together: the same samples of some prompts."""

    prompt_indices: list[int]
    sample_indices: range


def batches(prompts: Sequence[Prompt], num_samples: int, batch_size: int) -> list[Rows]:
    """Cut the work into batches of at most `batch_size` rows; prompts of like length together, to pad little."""
    order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i].ids), i))
    width = max(1, batch_size // num_samples)
    groups = [order[i : i + width] for i in range(0, len(order), width)]
    samples = [range(j, min(j + batch_size, num_samples)) for j in range(0, num_samples, batch_size)]
    return [Rows(group, s) for group in groups for s in samples]


@torch.no_grad()
def decode_batch(
    policy: Policy, prompts: Sequence[Prompt], rows: Rows, temperature: float, max_new_tokens: int, seed: int
) -> dict[tuple[int, int], Sample]:
    """Decode B = prompts x samples rows to their end. Returns samples by (prompt index, sample index)."""
    model, device = policy.model, policy.model.device
    chosen = [prompts[i] for i in rows.prompt_indices]
    num_samples, num_rows = len(rows.sample_indices), len(chosen) * len(rows.sample_indices)
    padded = left_pad([p.ids for p in chosen], policy.pad_id, device)
    width = padded.input_ids.shape[1]
    cache = DynamicCache(config=model.config)
    logits = model(
        input_ids=padded.input_ids,
        attention_mask=padded.attention_mask,
        position_ids=padded.position_ids,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    ).logits[:, -1]  # (P, V)
    cache.batch_repeat_interleave(num_samples)
    logits = logits.repeat_interleave(num_samples, 0)  # (B, V)
    mask = torch.ones(len(chosen), width + max_new_tokens, dtype=torch.int64, device=device)
    mask[:, :width] = padded.attention_mask
    mask = mask.repeat_interleave(num_samples, 0)  # (B, T + C)
    lengths = padded.attention_mask.sum(-1).repeat_interleave(num_samples)  # (B,)
    keys = noise_keys(seed, [p.prompt_id for p in chosen], rows.sample_indices)  # (B,)
    stops = torch.tensor(sorted(policy.stop_ids), device=device)

    ids = np.zeros((num_rows, max_new_tokens), np.int64)
    num_ids, finished = np.zeros(num_rows, np.int64), np.zeros(num_rows, bool)
    totals = np.zeros(num_rows)
    at = np.arange(num_rows)  # which row of the batch each decoded row is
    for position in range(max_new_tokens):
        tokens, log_probabilities = pick(logits, temperature, uniform(keys[at], position))  # (b,)
        going = ~finished[at]  # a finished row may still be decoded, see below; it counts no more
        ids[at[going], position] = tokens.cpu().numpy()[going]
        totals[at[going]] += log_probabilities.cpu().numpy()[going]
        num_ids[at[going]] = position + 1
        finished[at] |= torch.isin(tokens, stops).cpu().numpy()
        left = np.flatnonzero(~finished[at])
        if len(left) == 0 or position + 1 == max_new_tokens:
            break
        if len(left) <= smaller_bucket(len(at)):
            kept = torch.from_numpy(left).to(device)
            cache.batch_select_indices(kept)
            mask, lengths, tokens, at = mask[kept], lengths[kept], tokens[kept], at[left]
        logits = model(
            input_ids=tokens[:, None],
            attention_mask=mask[:, : width + position + 1],
            position_ids=(lengths + position)[:, None],
            past_key_values=cache,
            use_cache=True,
        ).logits[:, -1]  # (b, V)
    order = [(i, j) for i in rows.prompt_indices for j in rows.sample_indices]
    return {
        (i, j): Sample(prompts[i].prompt_id, j, ids[r, : num_ids[r]].tolist(), bool(finished[r]), float(totals[r]))
        for r, (i, j) in enumerate(order)
    }


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


def noise_keys(seed: int, prompt_ids: Sequence[int], sample_indices: Sequence[int]) -> NDArray[np.uint64]:
    """A 64-bit key for each row: prompts outer, samples inner."""
    return np.array([mix(seed, i, j) for i in prompt_ids for j in sample_indices], np.uint64)


def uniform(keys: NDArray[np.uint64], position: int) -> NDArray[np.float32]:
    """Uniform numbers in (0, 1) for (key, position): 23 bits and a half, so that neither end is ever reached."""
    offset = np.uint64((position + 1) * int(_GOLDEN) & 0xFFFFFFFFFFFFFFFF)
    bits = _splitmix(keys + offset) >> np.uint64(41)
    numbers: NDArray[np.float32] = ((bits.astype(np.float64) + 0.5) / 2**23).astype(np.float32)
    return numbers


def mix(*values: int) -> int:
    """A 64-bit number out of several, order included: seeds derived from seeds."""
    key = np.zeros(1, np.uint64)
    for value in values:
        key = _splitmix((key ^ np.uint64(value & 0xFFFFFFFFFFFFFFFF)) + _GOLDEN)
    return int(key[0])


_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _splitmix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The output function of splitmix64 (Steele, Lea and Flood 2014); arrays wrap around without a warning."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def sample_rows(policy: Policy, samples: Sequence[Sample]) -> list[dict[str, Any]]:
    """Samples as rows of rows.parquet. `num_tokens` counts end-of-text."""
    return [
        {
            "prompt_id": s.prompt_id,
            "sample_index": s.sample_index,
            "completion": decode(policy.tokenizer, s.ids),
            "num_tokens": len(s.ids),
            "finished": s.finished,
            "log_probability": s.log_probability,
        }
        for s in samples
    ]


def run(folder: Path, config: SampleConfig) -> None:
    """The kind `sample`: completions of data/prompts.parquet into rows.parquet.

    A second start samples again from the beginning: the noise is the same, and so are the rows.
    """
    device = set_up(config.engine)
    rows = tables.read_table(folder / "data/prompts.parquet", tables.PROMPTS)
    policy = load_policy(config.model, device)
    require_room(policy.model, config.text)
    prompts = [Prompt(r["prompt_id"], encode_prompt(policy.tokenizer, r["prompt"], config.text)) for r in rows]
    run = Run(folder, "sample", config.engine, total_steps=len(prompts) * config.sampling.num_samples)
    run.resume({}, {})
    started = time.monotonic()

    def on_batch(done: int, total: int) -> None:
        run.step = done
        run.log("sample", {"rows_per_second": done / (time.monotonic() - started)})
        run.stop_if_asked()

    with autocast(config.engine, device):
        samples = sample(
            policy,
            prompts,
            num_samples=config.sampling.num_samples,
            temperature=config.sampling.temperature,
            max_new_tokens=config.text.max_completion_tokens,
            seed=config.engine.seed,
            batch_size=config.sampling.batch_size,
            on_batch=on_batch,
        )
    seconds = time.monotonic() - started
    tables.write_table(folder / "rows.parquet", tables.SAMPLE_ROWS, sample_rows(policy, samples))
    run.finish(summary(samples, seconds), ["rows.parquet"])


def summary(samples: Sequence[Sample], seconds: float) -> dict[str, float]:
    """Mean length (tokens, end-of-text included), share that ended by themselves, tokens a second."""
    num_tokens = sum(len(s.ids) for s in samples)
    count = max(1, len(samples))
    return {
        "num_samples": len(samples),
        "length": num_tokens / count,
        "eos_rate": sum(s.finished for s in samples) / count,
        "tokens_per_second": num_tokens / max(seconds, 1e-9),
    }
