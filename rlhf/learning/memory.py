"""How much memory a run will need at its worst moment, told before a weight is loaded, from sizes alone.

    peak = process + weights + copies + optimiser + max(gradients + activations + logits of the largest micro-batch,
                                                        cache + logits of the sampler)

all in float32. Activations are what a decoder's layer keeps for its gradient, per token and layer:

    12 d + 4 k + 5 f   numbers, d the width, k the width of keys, f the inner width of the feed-forward part

counted on Llama (norms 6 d, queries and attention 5 d, residual 1 d, keys and values 4 k, feed-forward 4 f) and GPT-2
(whose GELU keeps 6 f, its norms less). Under bfloat16 that is an upper bound, and each process of several needs as much
where weights aren't sharded. Tests hold it against measured peaks within a factor of 1.5.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from rlhf.learning import lora
from rlhf.learning.configs import EngineConfig, InputError
from rlhf.learning.forward import LOGITS_CHUNK_BYTES

_FLOAT = 4  # bytes
_CGROUPS = Path("/sys/fs/cgroup")


class NotEnoughMemory(InputError):
    """The run would need more memory than there is; the message says how much for what."""


@dataclass(frozen=True)
class Shape:
    """The sizes of a decoder that memory follows from."""

    num_parameters: int
    layers: int
    width: int
    inner: int
    kv_width: int
    vocabulary: int


@dataclass(frozen=True)
class Estimate:
    """Bytes at the worst moment of a run, by what they are for."""

    process: int = 64 << 20  # what libraries set aside when they are first used; 30 to 115 MiB were measured
    weights: int = 0
    copies: int = 0  # of weights: a running mean, the best step's, models beside the one in training
    gradients: int = 0
    optimizer: int = 0
    activations: int = 0  # of the largest micro-batch
    logits: int = 0
    cache: int = 0  # of the sampler, with its logits; never beside gradients

    @property
    def total(self) -> int:
        training = self.gradients + self.activations + self.logits
        return self.process + self.weights + self.copies + self.optimizer + max(training, self.cache)


def shape(name_or_path: str) -> Shape:
    """Read a model's sizes, and no weights.

    Raises:
        OSError, ValueError: nothing there that transformers knows; loading it tells more.
    """
    name_or_path = lora.base_of(name_or_path)
    config = AutoConfig.from_pretrained(name_or_path).get_text_config()
    width = int(config.hidden_size)
    heads = int(config.num_attention_heads)
    head_width = getattr(config, "head_dim", None) or width // heads
    return Shape(
        num_parameters=_num_parameters(name_or_path),
        layers=int(config.num_hidden_layers),
        width=width,
        inner=int(getattr(config, "intermediate_size", None) or getattr(config, "n_inner", None) or 4 * width),
        kv_width=int(getattr(config, "num_key_value_heads", None) or heads) * int(head_width),
        vocabulary=int(config.vocab_size),
    )


def adapter(of: Shape, rank: int) -> int:
    """Bytes of a LoRA adapter on every linear layer of a decoder with a gated feed-forward part: the most it may be."""
    return _FLOAT * rank * of.layers * (9 * of.width + 2 * of.kv_width + 3 * of.inner)


def _num_parameters(name_or_path: str) -> int:
    """By the headers of its safetensors, or of a model without weights where there are none."""
    files = sorted(Path(name_or_path).glob("*.safetensors"))
    if not files:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(name_or_path))
        return int(model.num_parameters())
    return sum(_numbers_in(path) for path in files)


def _numbers_in(path: Path) -> int:
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header: dict[str, Any] = json.loads(file.read(length))
    total = 0
    for name, tensor in header.items():
        if name != "__metadata__":
            size = 1
            for extent in tensor["shape"]:
                size *= extent
            total += size
    return total


def weights(*shapes: Shape) -> int:
    """Bytes of the weights of these models."""
    return _FLOAT * sum(one.num_parameters for one in shapes)


def activations(of: Shape, num_tokens: int) -> int:
    """Bytes that a forward of `num_tokens` keeps for its gradient, the embedding and the last norm included."""
    per_token = of.layers * (12 * of.width + 4 * of.kv_width + 5 * of.inner) + 4 * of.width
    return _FLOAT * num_tokens * per_token


def forward_only(of: Shape, num_tokens: int) -> int:
    """Bytes that a forward without gradient needs at its widest layer."""
    return _FLOAT * num_tokens * (6 * of.width + 2 * of.kv_width + 3 * of.inner)


def logits(of: Shape, num_positions: int) -> int:
    """Bytes of logits, their log-probabilities and their gradient, of which a chunk exists at a time."""
    return 3 * min(_FLOAT * num_positions * of.vocabulary, LOGITS_CHUNK_BYTES)


def cache(of: Shape, num_rows: int, prompt_tokens: int, completion_tokens: int) -> int:
    """Bytes of the sampler's keys and values (with the room that it keeps for rows that join), its logits (scaled,
    normalised and summed: four times), and a forward of the prompts."""
    tokens = prompt_tokens + completion_tokens
    room = tokens + max(64, tokens // 2)
    kept = _FLOAT * num_rows * room * of.layers * 2 * of.kv_width
    return kept + 4 * _FLOAT * num_rows * of.vocabulary + forward_only(of, num_rows * prompt_tokens)


def available(engine: EngineConfig) -> int:
    """Bytes that are free on the device: of the GPU, or of the machine within the limits of its control groups."""
    if engine.device != "cpu" and torch.cuda.is_available():
        return int(torch.cuda.mem_get_info()[0])
    return min([_machine(), *_limits(_CGROUPS, Path("/proc/self/cgroup"))])


def _machine() -> int:
    lines = Path("/proc/meminfo").read_text().splitlines() if Path("/proc/meminfo").exists() else []
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    return found[0] if found else 1 << 62


def _limits(root: Path, membership: Path) -> list[int]:
    """What each control group above this process leaves of its limit (version 2, and 1 inside a container)."""
    found = []
    group = membership.read_text().strip().rpartition(":")[2].strip("/") if membership.exists() else ""
    places = [root / "memory", root / group, *(root / group).parents]
    for place in (p for p in dict.fromkeys(places) if p == root / "memory" or p.is_relative_to(root)):
        for limit, used in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
            if (place / limit).exists() and (place / used).exists():
                most = (place / limit).read_text().strip()
                if most.isdigit():
                    found.append(int(most) - int((place / used).read_text()) + _reclaimable(place))
    return found


def _reclaimable(group: Path) -> int:
    """Pages of files that the kernel gives back when they are needed."""
    lines = (group / "memory.stat").read_text().splitlines() if (group / "memory.stat").exists() else []
    found = [int(line.split()[1]) for line in lines if line.split()[0] in ("inactive_file", "total_inactive_file")]
    return max(found, default=0)


def require_fits(estimate: Estimate, engine: EngineConfig) -> dict[str, Any]:
    """What the line `estimate` of metrics.jsonl says.

    Raises:
        NotEnoughMemory: there is less than the run needs, and `engine.check_memory` is on.
    """
    free = available(engine)
    parts: Mapping[str, int] = asdict(estimate)
    if engine.check_memory and estimate.total > free:
        told = ", ".join(f"{name} {_gib(size)}" for name, size in parts.items() if size)
        raise NotEnoughMemory(
            f"memory: found {_gib(free)} free, expected the {_gib(estimate.total)} that this run needs at its worst "
            f"moment ({told}); lower micro_batch_size or the lengths in text, or set engine.check_memory to false"
        )
    return {"bytes": dict(parts) | {"total": estimate.total}}  # not what is free: a run's lines are its own


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"
