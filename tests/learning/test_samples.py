"""What a policy in training says at its checkpoints: written down at every one, and no weight is another for it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from rlhf.learning import best_of_n, dpo, grpo, ppo, samples, sft
from rlhf.learning.configs import ConfigError, EngineConfig
from rlhf.learning.loop import Run
from rlhf.learning.policy import load_policy
from tests.learning.rankings import (
    CPU,
    metric_lines,
    new_reward_model,
    prompts_folder,
    rankings_folder,
    text_config,
    weights,
)
from tests.learning.test_best_of_n import best_of_n_config, taught_to_end
from tests.learning.test_dpo import dpo_config
from tests.learning.test_grpo import grpo_config
from tests.learning.test_ppo import ppo_config
from tests.learning.test_sft import config as sft_config

UNTIMED = ("time", "tokens_per_second")


def told(folder: Path) -> list[dict[str, Any]]:
    lines = metric_lines(folder, samples.PHASE)
    return [{name: value for name, value in line.items() if name not in UNTIMED} for line in lines]


def trained(folder: Path) -> list[dict[str, Any]]:
    return [{name: value for name, value in line.items() if name not in UNTIMED} for line in metric_lines(folder)]


@pytest.fixture
def stages(llama_path: Path, tmp_path: Path) -> dict[str, tuple[Callable[..., Any], Any, Callable[[Path], Path]]]:
    """For each way to train: its run, its configuration and what fills its folder."""
    reward = new_reward_model(tmp_path / "reward", llama_path)
    talking = taught_to_end(tmp_path / "talking", llama_path, "chat")
    return {
        "dpo": (dpo.run, dpo_config(llama_path, num_epochs=1), lambda at: rankings_folder(at)),
        "best_of_n": (best_of_n.run, best_of_n_config(talking, reward, "chat"), prompts_folder),
        "ppo": (ppo.run, ppo_config(llama_path, reward, "chat"), prompts_folder),
        "grpo": (grpo.run, grpo_config(llama_path, reward, "chat"), prompts_folder),
    }


def with_samples(config: Any, number: int, every: int = 1) -> Any:
    return replace(config, engine=replace(config.engine, num_checkpoint_samples=number, checkpoint_every=every))


@pytest.mark.parametrize("kind", ["dpo", "best_of_n", "ppo", "grpo"])
def test_a_run_ends_with_the_same_weights_and_numbers_with_and_without(
    kind: str, stages: dict[str, Any], tmp_path: Path
) -> None:
    run, config, fill = stages[kind]
    for number in (0, 3):
        run(fill(tmp_path / str(number)), with_samples(config, number))
    without, sampled = tmp_path / "0", tmp_path / "3"
    assert weights(sampled / "model") == weights(without / "model")
    assert trained(sampled) == trained(without)
    assert told(without) == []
    steps = sorted({line["step"] for line in trained(sampled)})
    assert [line["step"] for line in told(sampled)] == [step for step in steps for _ in range(3)]
    assert all(isinstance(line["score"], float) == (kind in ("ppo", "grpo")) for line in told(sampled))


def test_sft_says_the_same_prompts_at_checkpoints_and_at_its_end_held_out_ones_first(
    llama_path: Path, demonstrations: Callable[..., Path]
) -> None:
    runs = {number: demonstrations(f"samples-{number}") for number in (0, 2)}
    for number, folder in runs.items():
        sft.run(folder, with_samples(sft_config(llama_path), number, every=4))
    assert weights(runs[0] / "model") == weights(runs[2] / "model") and trained(runs[0]) == trained(runs[2])
    lines, total = told(runs[2]), trained(runs[2])[-1]["step"]
    assert [line["step"] for line in lines] == [step for step in (4, total) for _ in range(2)]
    first, second = [line["prompt_id"] for line in lines[:2]]
    assert first < second and [line["prompt_id"] for line in lines[2:]] == [first, second]
    assert all(line["score"] is None and isinstance(line["completion"], str) for line in lines)
    assert [line["completion"] for line in lines[:2]] != [line["completion"] for line in lines[2:]]


def test_a_run_that_was_killed_behind_a_checkpoint_says_each_answer_once(
    llama_path: Path, demonstrations: Callable[..., Path], tmp_path: Path
) -> None:
    """The folder of a finished run without its end is that of one that was killed in its last steps."""
    folder, config = demonstrations(), with_samples(sft_config(llama_path), 2, every=2)
    sft.run(folder, config)
    expected, weights_before = told(folder), weights(folder / "model")
    shutil.rmtree(folder / "model")
    (folder / "result.json").unlink()
    sft.run(folder, config)
    assert told(folder) == expected and weights(folder / "model") == weights_before


def test_prompts_are_held_out_first_and_each_comes_once(llama_path: Path, tmp_path: Path) -> None:
    policy, text = load_policy(str(llama_path), CPU), text_config("chat")
    rows = [
        {"prompt_id": prompt_id, "prompt": [{"role": "user", "content": content}], "split": split}
        for prompt_id, content, split in (
            (1, "A?", "train"), (9, "B?", "held_out"), (9, "B?", "held_out"), (4, None, "held_out"), (7, "C?", "train"),
        )
    ]  # fmt: skip
    for number, expected in ((1, [9]), (2, [9, 1]), (9, [9, 1, 7])):
        work = Run(tmp_path, "sft", EngineConfig(num_checkpoint_samples=number), total_steps=1)
        samples.watch(work, policy, rows, text)
        work.before_checkpoint()
        assert [line["prompt_id"] for line in told(tmp_path)] == expected
        (tmp_path / "metrics.jsonl").unlink()


def test_sampling_draws_nothing_from_the_generator(llama_path: Path, tmp_path: Path) -> None:
    policy = load_policy(str(llama_path), CPU)
    row = {"prompt_id": 1, "prompt": [{"role": "user", "content": "A?"}], "split": "train"}
    work = Run(tmp_path, "sft", EngineConfig(), total_steps=1)
    samples.watch(work, policy, [row], text_config("chat"))
    before = torch.get_rng_state()
    work.before_checkpoint()
    assert torch.equal(torch.get_rng_state(), before)


def test_a_negative_number_of_samples_is_refused() -> None:
    with pytest.raises(ConfigError, match="num_checkpoint_samples: expected 0 or more, found -1"):
        EngineConfig(num_checkpoint_samples=-1)
