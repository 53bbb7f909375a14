"""Supervised fine-tuning learns, resumes exactly, and leaves a model that anybody can load."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from rlhf.learning import sft
from rlhf.learning.configs import EngineConfig, InputError, OptimizerConfig, SFTConfig, TextConfig, to_dict
from rlhf.learning.policy import load_policy
from rlhf.learning.sft import epoch_batches, mean_loss, num_steps
from rlhf.learning.starter import Starter
from rlhf.learning.tables import sha256
from rlhf.learning.text import Encoded
from tests.learning.conftest import wait_for


def config(path: Path, prompt_format: str = "chat", **changes: Any) -> SFTConfig:
    values: dict[str, Any] = {
        "model": str(path),
        "text": TextConfig(prompt_format=prompt_format, max_prompt_tokens=96, max_completion_tokens=48),  # type: ignore[arg-type]
        "optimizer": OptimizerConfig(learning_rate=5e-3),
        "engine": EngineConfig(checkpoint_every=2),
        "num_epochs": 2,
        "batch_size": 8,
        "micro_batch_size": 8,
    }
    return SFTConfig(**(values | changes))


def metrics(folder: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["phase"] == "train"]


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


def test_the_partition_into_micro_batches_changes_nothing(
    llama_path: Path, demonstrations: Callable[..., Path]
) -> None:
    weights, losses = [], []
    for size in (8, 4, 1):
        folder = demonstrations(f"micro-{size}")
        sft.run(folder, config(llama_path, micro_batch_size=size, optimizer=OptimizerConfig(learning_rate=1e-3)))
        weights.append(load_file(folder / "model/model.safetensors"))
        losses.append([line["loss"] for line in metrics(folder)])
    for other, loss in zip(weights[1:], losses[1:], strict=True):
        assert all(torch.allclose(weights[0][name], other[name], atol=1e-5) for name in other)
        assert loss == pytest.approx(losses[0], abs=1e-5)


def test_a_run_killed_at_random_steps_ends_with_the_same_weights(
    warm: Starter, llama_path: Path, demonstrations: Callable[..., Path]
) -> None:
    """kill -9 three times; weights, hashes and metrics are those of a run that nobody disturbed."""
    whole, killed = demonstrations("whole"), demonstrations("killed")
    changes = {"num_epochs": 40, "batch_size": 4, "micro_batch_size": 2, "engine": EngineConfig(checkpoint_every=7)}
    for folder in (whole, killed):
        (folder / "config.json").write_text(json.dumps(to_dict(config(llama_path, **changes))))
    assert warm.run(kind="sft", folder=whole).wait(120) == 0
    total_steps = metrics(whole)[-1]["total_steps"]
    starts = []
    for step in sorted(random.sample(range(10, total_steps - 40), 3)):  # 10: a checkpoint is there
        child = warm.run(kind="sft", folder=killed)
        wait_for(lambda step=step: (killed / "metrics.jsonl").exists() and last_step(killed) >= step)
        child.kill()
        child.wait(30)
        assert not (killed / "result.json").exists() and not (killed / "model").exists()
        starts.append(metrics_of_first_step(killed))
    assert warm.run(kind="sft", folder=killed).wait(120) == 0
    assert starts == [metrics_of_first_step(killed)] * 3  # its time too: it was taken once, and never again
    assert sha256(killed / "model/model.safetensors") == sha256(whole / "model/model.safetensors")
    first, second = [json.loads((folder / "result.json").read_text()) for folder in (whole, killed)]
    assert first == second
    assert [(m["step"], m["loss"]) for m in metrics(killed)] == [(m["step"], m["loss"]) for m in metrics(whole)]


def metrics_of_first_step(folder: Path) -> dict[str, Any]:
    with (folder / "metrics.jsonl").open() as file:
        first: dict[str, Any] = json.loads(file.readline())
    return first


def last_step(folder: Path) -> int:
    lines = (folder / "metrics.jsonl").read_text().split("\n")[:-1]  # without a line that is being written
    return int(json.loads(lines[-1])["step"]) if lines else 0


def test_the_loss_is_the_mean_over_completion_tokens_and_on_all_over_all(
    llama_path: Path, demonstrations: Callable[..., Path]
) -> None:
    policy = load_policy(str(llama_path), torch.device("cpu"))
    rows = [Encoded(0, [11, 12, 13], [14, 15]), Encoded(1, [21], [22, 23, 24])]
    by_hand = []
    with torch.no_grad():
        for row in rows:
            ids = row.prompt_ids + row.completion_ids
            log_probabilities = policy.model(torch.tensor([ids])).logits[0].log_softmax(-1)
            by_hand += [-float(log_probabilities[i - 1, ids[i]]) for i in range(len(row.prompt_ids), len(ids))]
    assert mean_loss(policy, rows, batch_size=1) == pytest.approx(sum(by_hand) / 5, abs=1e-5)
    assert mean_loss(policy, rows, batch_size=2) == pytest.approx(sum(by_hand) / 5, abs=1e-5)
    folders = [demonstrations(name, num_held_out=0) for name in ("completion", "all")]
    counted = []
    for folder in folders:
        sft.run(folder, config(llama_path, num_epochs=1, loss_on=folder.name))
        counted.append(metrics(folder)[0]["loss"])
    assert counted[0] != counted[1]


def test_held_out_rows_are_only_measured(llama_path: Path, demonstrations: Callable[..., Path]) -> None:
    folder = demonstrations(count=20, num_held_out=5)
    sft.run(folder, config(llama_path, num_epochs=1, batch_size=4, micro_batch_size=4))
    result = json.loads((folder / "result.json").read_text())["metrics"]
    assert (result["num_train"], result["num_held_out"]) == (15, 5)
    assert metrics(folder)[-1]["step"] == metrics(folder)[-1]["total_steps"] == num_steps(15, 4, 1) == 4


def test_nothing_to_train_on_is_said(llama_path: Path, demonstrations: Callable[..., Path]) -> None:
    folder = demonstrations(count=3, num_held_out=3)
    with pytest.raises(InputError, match="found 3 rows, expected some of split train"):
        sft.run(folder, config(llama_path))
    assert sorted(path.name for path in folder.iterdir()) == ["data"]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=80), st.integers(1, 9), st.integers(0, 3))
def test_every_row_comes_once_an_epoch_in_full_batches(lengths: list[int], batch_size: int, epoch: int) -> None:
    batches = epoch_batches(lengths, batch_size, 0, epoch)
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    assert len(batches) == num_steps(len(lengths), batch_size, 1)
    assert sum(len(batch) < batch_size for batch in batches) <= 1
    assert batches == epoch_batches(lengths, batch_size, 0, epoch)
    assert all(lengths[one] >= lengths[two] for batch in batches for one, two in pairwise(batch))


def test_batches_are_random_rows_not_rows_of_like_length() -> None:
    lengths = list(range(400))
    means = [sum(batch) / len(batch) for batch in epoch_batches(lengths, 40, 0, 0)]
    assert all(130 < mean < 270 for mean in means)  # of 40 random rows: 200, standard deviation 18
