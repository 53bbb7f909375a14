"""With pad = end-of-text forced on every model, each stage gives the same numbers to the bit: masks know lengths."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlhf.learning import policy, ppo, reward, reward_model, sampling, sft
from rlhf.learning.configs import EngineConfig, OptimizerConfig, PPOConfig, SampleConfig, SamplingConfig, SFTConfig
from rlhf.learning.configs import TextConfig as Text
from rlhf.learning.tables import DEMONSTRATIONS, PROMPTS, RANKINGS, SAMPLE_ROWS, read_table, write_table
from tests.learning.conftest import demonstration_rows, question
from tests.learning.rankings import ranking_rows, reward_config

ENGINE = EngineConfig(device="cpu", checkpoint_every=0)
TEXT = Text(prompt_format="chat", max_prompt_tokens=96, max_completion_tokens=16)
FORCED_IN = (policy, reward_model)
CLOCK = {"time", "tokens_per_second", "rows_per_second"}


def through_every_stage(start: Path, folder: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Metric lines of SFT, reward model, sampling and PPO, without clocks, and what was sampled."""
    write_table(folder / "sft/data/demonstrations.parquet", DEMONSTRATIONS, demonstration_rows(16))
    optimizer = OptimizerConfig(learning_rate=1e-3)
    sft.run(folder / "sft", SFTConfig(model=str(start), engine=ENGINE, text=TEXT, optimizer=optimizer, num_epochs=1))
    write_table(folder / "reward/data/rankings.parquet", RANKINGS, ranking_rows(12, num_held_out=4))
    reward.run(folder / "reward", reward_config(folder / "sft/model", "chat", num_epochs=1))
    prompts = [{"prompt_id": i, "prompt": question(i), "split": "train"} for i in range(8)]
    for name in ("sample", "ppo"):
        write_table(folder / name / "data/prompts.parquet", PROMPTS, prompts)
    drawn = SamplingConfig(num_samples=2)
    sampling.run(folder / "sample", SampleConfig(str(folder / "sft/model"), engine=ENGINE, text=TEXT, sampling=drawn))
    paths = {"model": folder / "sft/model", "reward_model": folder / "reward/model", "sft_model": folder / "sft/model"}
    sizes = {"num_iterations": 2, "rollouts_per_iteration": 8, "minibatch_size": 8, "micro_batch_size": 8}
    names: dict[str, Any] = {name: str(path) for name, path in paths.items()}
    ppo.run(folder / "ppo", PPOConfig(**names, engine=ENGINE, text=TEXT, optimizer=optimizer, **sizes))
    lines = [
        {key: value for key, value in json.loads(line).items() if key not in CLOCK}
        for name in ("sft", "reward", "sample", "ppo")
        for line in (folder / name / "metrics.jsonl").read_text().splitlines()
    ]
    return lines, read_table(folder / "sample/rows.parquet", SAMPLE_ROWS)


def test_pad_as_end_of_text_changes_no_number(
    llama_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = through_every_stage(llama_path, tmp_path / "usual")
    forced: list[int] = []

    def forcing(original: Callable[..., int]) -> Callable[..., int]:
        def pad_id(tokenizer: Any, model: Any) -> int:
            original(tokenizer, model)
            forced.append(tokenizer.eos_token_id)
            return int(tokenizer.eos_token_id)

        return pad_id

    for module in FORCED_IN:
        monkeypatch.setattr(module, "ensure_pad_token", forcing(module.ensure_pad_token))
    assert through_every_stage(llama_path, tmp_path / "forced") == usual
    assert len(forced) >= 6  # every network of every stage was loaded with it
