"""Tiny real models on disk: GPT-2, Llama and Qwen2, each with a byte-level BPE tokenizer that was trained for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from rlhf.learning.starter import Starter
from rlhf.learning.tables import DEMONSTRATIONS, PROMPTS, write_table
from tests.learning.reply_server import Reply, ReplyServer

WORDS = ["river", "stone", "bread", "lantern", "garden", "winter", "letter", "music", "harbour", "clock", "tea", "map"]
CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def question(i: int) -> list[dict[str, str]]:
    content = f"Tell me about the {WORDS[i % 12]} and the {WORDS[(i * 5 + 1) % 12]}, please."
    return [{"role": "user", "content": content}]


def answer(i: int) -> str:
    return f"The {WORDS[i % 12]} is near the {WORDS[(i * 5 + 1) % 12]}. " * (1 + i % 3)


def train_tokenizer(specials: dict[str, str], vocabulary_size: int, template: str | None) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    names = [*dict.fromkeys(specials.values()), *(["<|im_start|>", "<|im_end|>"] if template else [])]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=list(dict.fromkeys(names)),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([question(i)[0]["content"] + answer(i) for i in range(60)], trainer)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **specials)
    wrapped.chat_template = template
    return wrapped


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> Path:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def gpt2_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As the real one: no chat template, no pad token, begin- and end-of-text the same."""
    end = "<|endoftext|>"
    tokenizer = train_tokenizer({"bos_token": end, "eos_token": end, "unk_token": end}, 300, None)
    torch.manual_seed(1)
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=160,
        n_embd=32,
        n_layer=2,
        n_head=2,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return save(GPT2LMHeadModel(config), tokenizer, tmp_path_factory.mktemp("gpt2") / "model")


@pytest.fixture(scope="session")
def llama_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    specials = {"bos_token": "<s>", "eos_token": "<|im_end|>", "pad_token": "<pad>"}
    tokenizer = train_tokenizer(specials, 320, CHAT_TEMPLATE)
    torch.manual_seed(2)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=1,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return save(LlamaForCausalLM(config), tokenizer, tmp_path_factory.mktemp("llama") / "model")


@pytest.fixture(scope="session")
def qwen2_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As many checkpoints are: the pad token is end-of-text, and the embedding has rows to spare."""
    end = "<|im_end|>"
    tokenizer = train_tokenizer({"eos_token": end, "pad_token": end}, 310, CHAT_TEMPLATE)
    torch.manual_seed(3)
    config = Qwen2Config(
        vocab_size=len(tokenizer) + 10,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id,
    )
    return save(Qwen2ForCausalLM(config), tokenizer, tmp_path_factory.mktemp("qwen2") / "model")


@pytest.fixture(params=["gpt2", "llama", "qwen2"])
def any_model(request: pytest.FixtureRequest) -> tuple[Path, str]:
    """(path, prompt format) of each tiny model in turn."""
    path: Path = request.getfixturevalue(f"{request.param}_path")
    return path, "plain" if request.param == "gpt2" else "chat"


def demonstration_rows(count: int, num_held_out: int = 0) -> list[dict[str, Any]]:
    return [
        {
            "demonstration_id": 100 + i,
            "prompt_id": i,
            "prompt": question(i),
            "completion": answer(i),
            "labeler": f"labeler-{i % 3}",
            "split": "held_out" if i < num_held_out else "train",
        }
        for i in range(count)
    ]


@pytest.fixture
def demonstrations(tmp_path: Path) -> Callable[..., Path]:
    """Make a run folder with data/demonstrations.parquet."""

    def make(name: str = "run", count: int = 24, num_held_out: int = 4) -> Path:
        rows = demonstration_rows(count, num_held_out)
        write_table(tmp_path / name / "data/demonstrations.parquet", DEMONSTRATIONS, rows)
        return tmp_path / name

    return make


@pytest.fixture
def prompts(tmp_path: Path) -> Callable[..., Path]:
    """Make a run folder with data/prompts.parquet."""

    def make(name: str = "run", count: int = 6) -> Path:
        rows = [{"prompt_id": 50 + i, "prompt": question(i), "split": "train"} for i in range(count)]
        write_table(tmp_path / name / "data/prompts.parquet", PROMPTS, rows)
        return tmp_path / name

    return make


@pytest.fixture
def replying() -> Iterator[Callable[[Reply], ReplyServer]]:
    """Start a server that replies as told."""
    servers: list[ReplyServer] = []

    def start(reply: Reply) -> ReplyServer:
        servers.append(ReplyServer(reply))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="session")
def warm() -> Iterator[Starter]:
    """One warm process for all tests that start runs."""
    with Starter() as starter:
        yield starter


def wait_for(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
