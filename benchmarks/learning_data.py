"""What both sides of benchmarks/learning.py read: two models, one tokenizer, and texts of a made-up language.

The language has rules that a model can learn (a word usually decides the next one) and a gold score that a reward model
can learn (good words less bad ones). Everything is written once as files, in tokens too, so that nobody tokenises while
a clock runs.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from benchmarks.rows import Row, demonstration, ranking
from rlhf.learning import tables

PAD, END = "<pad>", "<end>"
TEMPLATE = "{{ messages[-1].content }}"
TARGET = "w7"  # the word that the verifier of line (e) asks for


@dataclass(frozen=True)
class Size:
    """A model, the lengths of its texts, and how much of everything a full run takes."""

    name: str
    model: dict[str, Any]
    vocabulary: int
    prompt: tuple[int, int]  # tokens, from and to
    completion: tuple[int, int]
    num_threads: int
    attention_bias: bool = False


def _shape(hidden: int, layers: int, heads: int, key_value_heads: int, intermediate: int) -> dict[str, Any]:
    return {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": key_value_heads,
        "intermediate_size": intermediate,
    }


DEMO = Size(
    "demo",
    _shape(128, 2, 4, 1, 352),
    768,
    (20, 50),
    (5, 48),
    1,
)
MEDIUM = Size(
    "30M",
    _shape(512, 8, 8, 4, 1408),
    12_288,
    (40, 120),
    (8, 136),
    2,
)
SIZES = {size.name: size for size in (DEMO, MEDIUM)}


def make_tokenizer(size: Size) -> PreTrainedTokenizerFast:
    words = [PAD, END, *(f"w{i}" for i in range(size.vocabulary - 2))]
    inner = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token=PAD))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    found = PreTrainedTokenizerFast(tokenizer_object=inner, pad_token=PAD, eos_token=END, model_max_length=1024)
    found.chat_template = TEMPLATE
    return found


def make_model(size: Size, folder: Path, seed: int) -> Path:
    """A model with random weights and its tokenizer; what is there already is taken."""
    if not folder.exists():
        torch.manual_seed(seed)
        config = LlamaConfig(
            vocab_size=size.vocabulary,
            max_position_embeddings=1024,
            tie_word_embeddings=True,
            initializer_range=0.05 if size is DEMO else 0.02,
            bos_token_id=None,
            eos_token_id=1,
            pad_token_id=0,
            attention_bias=size.attention_bias,
            **size.model,
        )
        LlamaForCausalLM(config).save_pretrained(folder)
        make_tokenizer(size).save_pretrained(folder)
    return folder


def text(numbers: list[int]) -> str:
    return " ".join(f"w{number}" for number in numbers)


def asked(numbers: list[int]) -> list[dict[str, str]]:
    return [{"role": "user", "content": text(numbers)}]


def prompt(size: Size, draw: random.Random) -> list[int]:
    return [min(int(draw.paretovariate(0.6)), 400) for _ in range(draw.randint(*size.prompt))]


def completion(size: Size, draw: random.Random, goodness: float = 0.5) -> list[int]:
    """Words 0 to 199; even ones are good. A word is followed by a fixed one four times out of five."""
    length = min(size.completion[1], size.completion[0] + int(draw.expovariate(2.6 / sum(size.completion))))
    words = [draw.randrange(200)]
    while len(words) < length - 1:  # end-of-text is a token too
        follows = (7 * words[-1] + 3) % 100 * 2 + (draw.random() > goodness)
        words.append(follows if draw.random() < 0.8 else draw.randrange(200))
    return words


def gold(words: list[int]) -> float:
    return sum(1 - 2 * (word % 2) for word in words) / max(1, len(words)) ** 0.5


def demonstrations(size: Size, count: int, seed: int) -> list[Row]:
    draw = random.Random(seed)
    found = []
    for index in range(count):
        split = "train" if index % 8 else "held_out"
        found.append(demonstration(index, asked(prompt(size, draw)), text(completion(size, draw)), split))
    return found


def rankings(size: Size, count: int, num_completions: int, seed: int, num_held_out: int) -> list[Row]:
    """Rankings by the gold score with noise; held-out ones are pairs, so that every K is measured on the same."""
    draw = random.Random(seed + 1000 * num_completions)
    found = []
    for index in range(count + num_held_out):
        held_out = index >= count
        if held_out:
            draw = random.Random(7_000_000 + 1000 * seed + index - count)
        texts = [completion(size, draw, draw.random()) for _ in range(2 if held_out else num_completions)]
        noisy = [gold(words) + np.log(1 / max(1e-9, draw.random()) - 1) * 0.3 for words in texts]
        order = sorted(range(len(texts)), key=lambda i: -noisy[i])
        ranks = [order.index(i) + 1 for i in range(len(texts))]
        messages, split = asked(prompt(size, draw)), "held_out" if held_out else "train"
        found.append(ranking(index, messages, [text(words) for words in texts], ranks, split=split))
    return found


def prompts(size: Size, count: int, seed: int, length: int | None = None) -> list[Row]:
    draw = random.Random(seed)
    found = []
    for index in range(count):
        words = prompt(size, draw) if length is None else [draw.randrange(1, 400) for _ in range(length)]
        found.append({"prompt_id": index, "prompt": asked(words), "split": "train"})
    return found


def token_ids(row: Row) -> list[int]:
    return [int(word[1:]) + 2 for word in row["prompt"][-1]["content"].split()]


def completion_token_ids(words: str) -> list[int]:
    return [*(int(word[1:]) + 2 for word in words.split()), 1]


def write_demonstrations(folder: Path, rows: list[Row]) -> None:
    tables.write_table(folder / "data/demonstrations.parquet", tables.DEMONSTRATIONS, rows)
    tokens = [
        {"prompt": token_ids(row), "completion": completion_token_ids(row["completion"]), "split": row["split"]}
        for row in rows
    ]
    (folder / "tokens.json").write_text(json.dumps(tokens))


def write_rankings(folder: Path, rows: list[Row]) -> None:
    tables.write_table(folder / "data/rankings.parquet", tables.RANKINGS, rows)
    pairs = []
    for row in rows:
        start, answers = token_ids(row), [completion_token_ids(words) for words in row["completions"]]
        for i, rank in enumerate(row["ranks"]):
            for j, other in enumerate(row["ranks"]):
                if rank < other:
                    pair = {"chosen": start + answers[i], "rejected": start + answers[j], "split": row["split"]}
                    pairs.append(pair)
    (folder / "tokens.json").write_text(json.dumps(pairs))


def write_prompts(folder: Path, rows: list[Row], targets: bool = False) -> None:
    tables.write_table(folder / "data/prompts.parquet", tables.PROMPTS, rows)
    if targets:
        answers = [{"prompt_id": row["prompt_id"], "answer": rf"\b{TARGET}\b", "safety": False} for row in rows]
        tables.write_table(folder / "data/targets.parquet", tables.TARGETS, answers)
    (folder / "tokens.json").write_text(json.dumps([token_ids(row) for row in rows]))
