"""Completions from a policy: ancestral sampling from the whole distribution (no top-k, no top-p: 2403.17031).

The uniform number behind every token is a hash of (seed, prompt id, sample index, position), so a completion doesn't
depend on the rows beside it, their order or the batch size, up to rounding in the logits.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from rlhf.learning import distributed, needs, served, tables, vllm_server
from rlhf.learning.configs import EngineConfig, SampleConfig, SamplingConfig, TextConfig
from rlhf.learning.decoding import Decoder, Job
from rlhf.learning.journal import NAME as JOURNAL
from rlhf.learning.journal import Journal
from rlhf.learning.loop import Run, autocast, set_up
from rlhf.learning.noise import mix
from rlhf.learning.policy import Policy, load_policy, load_tokenizer, require_room
from rlhf.learning.reading import PROMPT, Reader, reader
from rlhf.learning.served import Asked
from rlhf.learning.text import decode


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
    text: str | None = None  # as a server wrote it; None: what the ids decode to
    num_tokens: int | None = None  # as a server counted them; None: those of ids


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
        batch_size: rows decoded together; one that ends makes room for the next.
        on_batch: called after every `batch_size` completions with (completions done, completions in all).

    Returns:
        Samples ordered by prompt as given, then by sample index.
    """
    order = sorted(range(len(prompts)), key=lambda i: (-len(prompts[i].ids), i))
    mine = order[distributed.rank() :: distributed.size()]
    places = [(i, j) for i in mine for j in range(num_samples)]
    # Inference mode: nothing here comes near a gradient, and a step is hundreds of small kernels that it makes cheaper
    # to start. Weights in pieces are gathered into buffers that training goes on with: without gradients is all there.
    sharded = distributed.is_sharded(policy.model)
    with (
        torch.no_grad() if sharded else torch.inference_mode(),
        distributed.whole(policy.model),  # by all processes together, those without a prompt too
    ):
        found = _draw(policy, prompts, places, temperature, max_new_tokens, seed, batch_size, on_batch)
    everyone = {place: one for part in distributed.gather(list(found.items())) for place, one in part}
    return [everyone[i, j] for i in range(len(prompts)) for j in range(num_samples)]


def _draw(
    policy: Policy,
    prompts: Sequence[Prompt],
    places: Sequence[tuple[int, int]],
    temperature: float,
    max_new_tokens: int,
    seed: int,
    batch_size: int,
    on_batch: Callable[[int, int], None] | None,
) -> dict[tuple[int, int], Sample]:
    found: dict[tuple[int, int], Sample] = {}
    if not places:
        return found
    jobs = [Job(i, prompts[i].ids, mix(seed, prompts[i].prompt_id, j)) for i, j in places]
    decoder = Decoder(
        policy,
        jobs,
        temperature=temperature,
        max_new_tokens=max_new_tokens,
        batch_size=batch_size,
        replay=False if distributed.is_sharded(policy.model) else None,  # no copies and recordings of weights in pieces
    )
    several = distributed.size()  # progress is that of all, as if the others were as far as this one
    for place, drawn in decoder.run():
        i, j = places[place]
        found[i, j] = Sample(prompts[i].prompt_id, j, drawn.ids, drawn.finished, drawn.log_probability)
        if on_batch is not None and (len(found) % batch_size == 0 or len(found) == len(places)):
            on_batch(several * len(found), several * len(places))
    return found


def sample_rows(tokenizer: PreTrainedTokenizerBase | None, samples: Sequence[Sample]) -> list[dict[str, Any]]:
    """Samples as rows of rows.parquet. `num_tokens` counts end-of-text. tokenizer: None where all have a text."""
    return [
        {
            "prompt_id": s.prompt_id,
            "sample_index": s.sample_index,
            "completion": _text(tokenizer, s),
            "num_tokens": _num_tokens(s),
            "finished": s.finished,
            "log_probability": s.log_probability,
        }
        for s in samples
    ]


def _text(tokenizer: PreTrainedTokenizerBase | None, one: Sample) -> str:
    if one.text is not None:
        return one.text
    assert tokenizer is not None, "a sample without a text needs a tokenizer"
    return decode(tokenizer, one.ids)


def _num_tokens(one: Sample) -> int:
    return len(one.ids) if one.num_tokens is None else one.num_tokens


def run(folder: Path, config: SampleConfig) -> None:
    """The kind `sample`: completions of data/prompts.parquet into rows.parquet.

    A second start samples again from the beginning: the noise is the same, and so are the rows. A server is asked only
    for what journal.jsonl lacks.
    """
    device = set_up(config.engine)
    estimate = needs.require(folder, config)
    rows = tables.read_table(folder / "data/prompts.parquet", tables.PROMPTS)
    # Loaded before there is a Run: until then SIGTERM ends the process at once.
    policy = load_policy(config.model, device) if config.sampling.backend == "local" else None
    tokenizer = policy.tokenizer if policy is not None else load_tokenizer(config.model) if config.model else None
    if policy is not None:
        require_room(policy.model, config.text)
    run = Run(folder, "sample", config.engine, total_steps=len(rows) * config.sampling.num_samples)
    run.resume({}, {})
    run.log_first("estimate", estimate)
    started = time.monotonic()

    def on_batch(done: int, total: int) -> None:
        run.step = done
        run.log("sample", {"rows_per_second": done / (time.monotonic() - started)})
        run.stop_if_asked()

    if policy is not None:
        samples = sample_locally(policy, rows, config.sampling, config.text, config.engine, on_batch)
    else:
        as_read = Reader(tokenizer, config.text, None, PROMPT) if tokenizer is not None else config.text
        sampling, seed = config.sampling, config.engine.seed
        samples = distributed.from_main(
            lambda: sample_by_server(config.model, as_read, rows, sampling, seed, folder, on_batch, run.stop_if_asked)
        )
    seconds = time.monotonic() - started
    run.write_rows(tables.SAMPLE_ROWS, sample_rows(tokenizer, samples))
    run.finish(summary(samples, seconds), ["rows.parquet"])


def sample_locally(
    policy: Policy,
    rows: Sequence[Mapping[str, Any]],
    sampling: SamplingConfig,
    text: TextConfig,
    engine: EngineConfig,
    on_batch: Callable[[int, int], None],
) -> list[Sample]:
    """`sample` for rows with prompt_id and prompt (messages). Raises TableError for a prompt that can't be read."""
    as_read = reader(policy.model, policy.tokenizer, text, PROMPT)
    prompts = [Prompt(row["prompt_id"], as_read.prompt(row["prompt_id"], row["prompt"])) for row in rows]
    with autocast(engine, policy.model.device):
        return sample(
            policy,
            prompts,
            num_samples=sampling.num_samples,
            temperature=sampling.temperature,
            max_new_tokens=text.max_completion_tokens,
            seed=engine.seed,
            batch_size=sampling.batch_size,
            on_batch=on_batch,
        )


def sample_by_server(
    model: str,
    as_read: Reader | TextConfig,
    rows: Sequence[Mapping[str, Any]],
    sampling: SamplingConfig,
    seed: int,
    folder: Path,
    on_batch: Callable[[int, int], None],
    tick: Callable[[], None],
) -> list[Sample]:
    """What `sample` does, by the server of `sampling.server` or a vLLM server of our own with `model`.

    Args:
        as_read: how the model reads prompts; its text settings alone for one that isn't here and gets messages.
        rows: with prompt_id and prompt (messages).
        folder: of the run; answers are kept in its journal, and vLLM's output in its vllm.log.
        tick: called several times a second; what it raises ends the sampling, and a server of our own.

    Returns:
        Samples ordered as by `sample`. Log-probabilities are NaN: a server's are of its own temperature and precision,
        and nothing that is learned comes from them.
    """
    reads = as_read if isinstance(as_read, Reader) else None
    text = as_read.text if isinstance(as_read, Reader) else as_read
    wanted = [
        Asked(row["prompt_id"], index, ids, row["prompt"])
        for row in rows
        for ids in [reads.prompt(row["prompt_id"], row["prompt"]) if reads else []]
        for index in range(sampling.num_samples)
    ]
    is_ours = sampling.backend == "vllm"
    with vllm_server.endpoint(sampling.backend, sampling.server, model, folder, tick) as served_by:
        written = served.write(
            served_by,
            reads.tokenizer if reads else None,
            wanted,
            interface=sampling.server.interface,
            asks_for_ids=is_ours,
            temperature=sampling.temperature,
            max_new_tokens=text.max_completion_tokens,
            seed=seed,
            journal=Journal(folder / JOURNAL),
            on_answer=on_batch,
            tick=tick,
        )
    return [
        Sample(one.prompt_id, one.sample_index, found.ids, found.finished, math.nan, found.text, found.num_tokens)
        for one, found in zip(wanted, written, strict=True)
    ]


def summary(samples: Sequence[Sample], seconds: float) -> dict[str, float]:
    """Mean length (tokens, end-of-text included), share that ended by themselves, tokens a second."""
    num_tokens = sum(map(_num_tokens, samples))
    count = max(1, len(samples))
    return {
        "num_samples": len(samples),
        "length": num_tokens / count,
        "eos_rate": sum(s.finished for s in samples) / count,
        "tokens_per_second": num_tokens / max(seconds, 1e-9),
    }
