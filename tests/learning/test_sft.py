"""Supervised fine-tuning learns, resumes exactly, and leaves a model that anybody can load."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from rlhf.learning import sft
from rlhf.learning.configs import EngineConfig, OptimizerConfig, SFTConfig, TextConfig

TEXT = TextConfig(prompt_format="chat", max_prompt_tokens=96, max_completion_tokens=48)


def config(path: Path, prompt_format: str = "chat", **changes: object) -> SFTConfig:
    values: dict[str, object] = {
        "model": str(path),
        "text": TextConfig(prompt_format=prompt_format, max_prompt_tokens=96, max_completion_tokens=48),
        "optimizer": OptimizerConfig(learning_rate=5e-3),
        "engine": EngineConfig(checkpoint_every=2),
        "num_epochs": 2,
        "batch_size": 8,
        "micro_batch_size": 8,
    }
    return SFTConfig(**(values | changes))


def metrics(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_every_architecture_learns_and_the_result_loads_plainly(
    any_model: tuple[Path, str], demonstrations: Callable[..., Path]
) -> None:
    path, prompt_format = any_model
    folder = demonstrations()
    sft.run(folder, config(path, prompt_format, num_epochs=8))
    losses = [line["loss"] for line in metrics(folder)]
    assert losses[-1] < 0.75 * losses[0]
    result = json.loads((folder / "result.json").read_text())
    assert result["metrics"]["held_out_loss"] < losses[0]
    model = AutoModelForCausalLM.from_pretrained(folder / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    assert tokenizer.pad_token_id not in (None, tokenizer.eos_token_id)
    assert model.config.pad_token_id == tokenizer.pad_token_id
    assert next(model.parameters()).dtype == torch.float32
