"""What every stage shares: where numbers are computed, the optimiser, text, and sampling."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from rlhf.learning.configs.errors import require


@dataclass(frozen=True)
class EngineConfig:
    """Where and how the numbers are computed; nothing here changes what is learned, up to rounding."""

    seed: int = 0  # every random choice derives from it
    device: Literal["auto", "cpu", "cuda"] = "auto"  # auto: cuda where there is one
    num_threads: int = 1  # CPU threads; one beats two below about 1 M parameters
    precision: Literal["float32", "bfloat16"] = "float32"  # autocast type; weights stay float32
    # Of float32 products. "medium" may use bfloat16 inside, and compiles a kernel for each new shape: on a Zen 4 core
    # 7 % faster for one product and 10 % slower for a training step; on others it was twice as fast. Measure yours.
    matmul_precision: Literal["highest", "high", "medium"] = "highest"
    # Of several processes (torchrun): weights on every one of them, or in pieces (FSDP2) where a card can't hold them.
    parallel: Literal["replicate", "shard"] = "replicate"
    activation_checkpointing: bool = False  # layers run again for the gradient: less memory, a third more work
    compile: bool = False  # torch.compile of norms and feed-forward layers; where it can't, a warning and no compiling
    checkpoint_every: int = 50  # optimiser steps (PPO: iterations) between checkpoints; 0 never
    num_checkpoint_samples: int = 2  # prompts answered at every checkpoint and at the last step, to look at; 0 none
    log_every: int = 1  # steps between metric lines
    report_to: tuple[Literal["tensorboard", "wandb"], ...] = ()  # metric lines go there too
    check_memory: bool = True  # False: start even where the estimate is more than what is free

    def __post_init__(self) -> None:
        require(0 <= self.seed < 2**63, f"engine.seed: expected 0 <= x < 2^63, found {self.seed}")
        require(self.num_threads >= 1, f"engine.num_threads: expected at least 1, found {self.num_threads}")
        require(
            self.checkpoint_every >= 0, f"engine.checkpoint_every: expected 0 or more, found {self.checkpoint_every}"
        )
        require(
            self.num_checkpoint_samples >= 0,
            f"engine.num_checkpoint_samples: expected 0 or more, found {self.num_checkpoint_samples}",
        )
        require(self.log_every >= 1, f"engine.log_every: expected at least 1, found {self.log_every}")


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW with warm-up, then a schedule down to `final_share` of the peak."""

    learning_rate: float = 1e-5  # peak
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    warmup_share: float = 0.03  # share of all steps
    final_share: float = 0.1  # of the peak, at the last step
    weight_decay: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-5  # Llama 2, section 3.2.3; the N-details papers use the same
    max_grad_norm: float = 1.0

    def __post_init__(self) -> None:
        require(self.learning_rate > 0, f"optimizer.learning_rate: expected more than 0, found {self.learning_rate}")
        require(self.weight_decay >= 0, f"optimizer.weight_decay: expected 0 or more, found {self.weight_decay}")
        require(0 <= self.beta1 < 1, f"optimizer.beta1: expected 0 <= x < 1, found {self.beta1}")
        require(0 <= self.beta2 < 1, f"optimizer.beta2: expected 0 <= x < 1, found {self.beta2}")
        require(self.eps > 0, f"optimizer.eps: expected more than 0, found {self.eps}")
        require(0 <= self.warmup_share < 1, f"optimizer.warmup_share: expected 0 <= x < 1, found {self.warmup_share}")
        require(0 <= self.final_share <= 1, f"optimizer.final_share: expected 0 <= x <= 1, found {self.final_share}")
        require(self.max_grad_norm > 0, f"optimizer.max_grad_norm: expected more than 0, found {self.max_grad_norm}")


@dataclass(frozen=True)
class TextConfig:
    """How messages become tokens."""

    prompt_format: Literal["chat", "plain"] = "chat"  # plain: for models without a chat template
    max_prompt_tokens: int = 512  # longer prompts lose their beginning, never their end
    max_completion_tokens: int = 256  # longer completions are cut, and then carry no end-of-text

    def __post_init__(self) -> None:
        require(
            self.max_prompt_tokens >= 1, f"text.max_prompt_tokens: expected at least 1, found {self.max_prompt_tokens}"
        )
        require(
            self.max_completion_tokens >= 1,
            f"text.max_completion_tokens: expected at least 1, found {self.max_completion_tokens}",
        )


@dataclass(frozen=True)
class ServerConfig:
    """A server with an OpenAI-compatible interface."""

    base_url: str | None = None  # up to and without /completions, such as http://localhost:8000/v1
    model: str = ""  # its name there
    # completions: our token ids are sent, so the server needs the policy's tokenizer. chat: the messages are, and the
    # server's own template counts.
    interface: Literal["completions", "chat"] = "completions"
    api_key_env: str = "OPENAI_API_KEY"  # the environment variable that holds its key; none is sent where it is empty
    timeout_s: float = 120.0  # of one attempt
    num_attempts: int = 4  # with a growing pause between them
    num_parallel: int = 16  # requests under way
    max_response_bytes: int = 4_000_000
    start_timeout_s: float = 600.0  # of a vLLM server, until it answers
    memory_share: float = 0.85  # of the GPU, for a vLLM server

    def __post_init__(self) -> None:
        where = "server"
        url = self.base_url
        require(
            url is None or url.startswith(("http://", "https://")),
            f"{where}.base_url: expected a URL with http:// or https://, found {url!r}",
        )
        # Whoever writes a configuration must not read other secrets of the worker's environment with it.
        require(
            re.fullmatch(r"[A-Z][A-Z0-9_]*_API_KEY", self.api_key_env) is not None,
            f"{where}.api_key_env: expected a name that ends in _API_KEY, found {self.api_key_env!r}",
        )
        for name in ("timeout_s", "start_timeout_s"):
            require(getattr(self, name) > 0, f"{where}.{name}: expected more than 0, found {getattr(self, name)}")
        for name in ("num_attempts", "num_parallel", "max_response_bytes"):
            require(getattr(self, name) >= 1, f"{where}.{name}: expected at least 1, found {getattr(self, name)}")
        require(0 < self.memory_share <= 1, f"{where}.memory_share: expected 0 < x <= 1, found {self.memory_share}")


@dataclass(frozen=True)
class SamplingConfig:
    """Ancestral sampling from the whole distribution; noise comes from (seed, prompt id, sample index)."""

    num_samples: int = 1  # completions per prompt
    temperature: float = 1.0  # 0: greedy
    batch_size: int = 256  # rows decoded together
    # Who decodes. local: we. openai: the server at server.base_url, with whatever weights it has. vllm: a vLLM server
    # that is started with the policy, where vllm is installed, and ends with the run.
    backend: Literal["local", "openai", "vllm"] = "local"
    server: ServerConfig = field(default_factory=ServerConfig)

    def __post_init__(self) -> None:
        require(self.num_samples >= 1, f"sampling.num_samples: expected at least 1, found {self.num_samples}")
        require(self.temperature >= 0, f"sampling.temperature: expected 0 or more, found {self.temperature}")
        require(
            self.backend != "openai" or (self.server.base_url is not None and bool(self.server.model)),
            f"sampling.server: expected base_url and model for the backend openai, found {self.server.base_url!r} and "
            f"{self.server.model!r}",
        )
        require(
            self.backend != "vllm" or self.server.interface == "completions",
            "sampling.server.interface: expected completions for the backend vllm, found chat",
        )
        require(self.batch_size >= 1, f"sampling.batch_size: expected at least 1, found {self.batch_size}")
