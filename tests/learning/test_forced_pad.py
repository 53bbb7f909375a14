"""A pad token that is end-of-text changes no number of any stage: masks come from lengths, packed or padded."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from rlhf.learning import best_of_n, dpo, grpo, judge, policy, ppo, reward, reward_model, sampling, sft
from rlhf.learning.configs import Config, JudgeConfig
from tests.learning.rankings import new_reward_model, text_config
from tests.learning.test_judge import pairs
from tests.learning.test_kills import config_of, folder_of, lines_of

STAGES = {
    "sft": (sft.run, {"num_epochs": 2}),
    "reward": (reward.run, {"num_epochs": 1}),
    "sample": (sampling.run, {}),
    "best_of_n": (best_of_n.run, {"num_epochs": 1}),
    "ppo": (ppo.run, {"num_iterations": 2}),
    "dpo": (dpo.run, {"num_epochs": 1}),
    "kto": (dpo.run, {"num_epochs": 1, "loss": "kto"}),
    "grpo": (grpo.run, {"num_iterations": 2}),
    "judge": (judge.run, {}),
}


def end_of_text(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel) -> int:
    """In place of `ensure_pad_token`: what a checkpoint without a pad token is usually given."""
    tokenizer.pad_token = tokenizer.eos_token
    return int(tokenizer.eos_token_id)


def prepared(stage: str, folder: Path, path: Path, reward_path: Path) -> tuple[Path, Config]:
    if stage == "judge":
        return pairs(folder), JudgeConfig(str(reward_path), text=text_config("chat"), batch_size=4)
    kind = "dpo" if stage == "kto" else stage
    changes: dict[str, Any] = STAGES[stage][1]
    return folder_of(kind, folder), replace(config_of(kind, path, reward_path), **changes)


@pytest.mark.parametrize("attention", ["hone", "eager"])
@pytest.mark.parametrize("stage", STAGES)
def test_pad_equal_to_end_of_text_changes_no_number(
    stage: str, attention: str, llama_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reward_path = new_reward_model(tmp_path / "model", llama_path)
    for module in (policy, reward_model):  # eager attention sees the padding that a packed stream doesn't have
        monkeypatch.setattr(module, "attention_for", lambda *_: attention)
    usual, config = prepared(stage, tmp_path / "usual", llama_path, reward_path)
    STAGES[stage][0](usual, config)
    for module in (policy, reward_model):
        monkeypatch.setattr(module, "ensure_pad_token", end_of_text)
    forced, config = prepared(stage, tmp_path / "forced", llama_path, reward_path)
    STAGES[stage][0](forced, config)
    assert lines_of(forced) == lines_of(usual) != []
    found = [json.loads((folder / "result.json").read_text())["outputs"] for folder in (usual, forced)]
    numbers = [{name: h for name, h in of.items() if name.endswith((".safetensors", ".parquet"))} for of in found]
    assert numbers[0] == numbers[1] != {}
