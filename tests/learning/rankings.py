"""Rankings, rewards and run folders that the tests of reward, best_of_n, ppo and judge share."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from rlhf.learning import configs, reward, reward_model
from rlhf.learning.configs import EngineConfig, OptimizerConfig, RewardConfig, TextConfig
from rlhf.learning.reading import Reader
from rlhf.learning.tables import PROMPTS, RANKINGS, added, sha256, write_table
from tests.learning.conftest import answer, question

CPU = torch.device("cpu")


def text_config(prompt_format: str, max_completion_tokens: int = 24) -> TextConfig:
    return TextConfig(prompt_format, max_prompt_tokens=96, max_completion_tokens=max_completion_tokens)  # type: ignore[arg-type]


def read_by(tokenizer: PreTrainedTokenizerBase, text: TextConfig) -> Reader:
    """How a model without a limit of positions reads rankings."""
    return Reader(tokenizer, text, None, "ranking")


def ranking_rows(count: int, num_held_out: int = 0) -> list[dict[str, Any]]:
    """Rankings of four: the answer, the answer said twice (tied in every third), another's answer, and rudeness."""
    return [
        {
            **added(RANKINGS),
            "ranking_id": 500 + i,
            "prompt_id": i,
            "prompt": question(i),
            "completion_ids": [4 * i, 4 * i + 1, 4 * i + 2, 4 * i + 3],
            "completions": [answer(i)[:40], answer(i)[:20], answer(i + 5)[:30], "no no no"],
            "ranks": [1, 1, 2, 3] if i % 3 == 0 else [1, 2, 3, 4],
            "labeler": f"labeler-{i % 3}",
            "weight": 0.5 if i % 4 == 0 else 1.0,
            "iteration": i % 2,
            "split": "held_out" if i < num_held_out else "train",
        }
        for i in range(count)
    ]


def turned(row: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The same set by somebody who saw it the other way round."""
    other_way = {name: row[name][::-1] for name in ("completions", "completion_ids")}
    return row | other_way | {"ranking_id": row["ranking_id"] + 1000, "labeler": "another"} | changes


def rankings_folder(folder: Path, count: int = 24, num_held_out: int = 6, num_twice: int = 0) -> Path:
    """`count` rankings; `num_twice` of them are of sets that somebody else ranked, too."""
    rows = ranking_rows(count - num_twice, num_held_out)
    rows += [turned(row) for row in rows[num_held_out : num_held_out + num_twice]]
    write_table(folder / "data/rankings.parquet", RANKINGS, rows)
    return folder


def prompts_folder(folder: Path, count: int = 12, num_held_out: int = 2) -> Path:
    rows = [
        {"prompt_id": i, "prompt": question(i), "split": "held_out" if i < num_held_out else "train"}
        for i in range(count)
    ]
    write_table(folder / "data/prompts.parquet", PROMPTS, rows)
    return folder


def reward_config(path: Path, prompt_format: str, **changes: Any) -> RewardConfig:
    config = RewardConfig(
        model=str(path),
        text=text_config(prompt_format),
        optimizer=OptimizerConfig(learning_rate=5e-3),
        engine=EngineConfig(checkpoint_every=2),
        num_epochs=3,
        batch_size=6,
        micro_batch_size=6,
    )
    return replace(config, **changes)


def trained_reward_model(folder: Path, path: Path, prompt_format: str) -> Path:
    """A reward model that a real run made."""
    reward.run(rankings_folder(folder), reward_config(path, prompt_format))
    return folder / "model"


def new_reward_model(folder: Path, path: Path, bias: float = 0.5) -> Path:
    """A reward model with a random head, gain 2 and this bias."""
    model = reward_model.load(str(path), CPU)
    reward_model.save(replace(model, gain=2.0, bias=bias), folder)
    return folder


def metric_lines(folder: Path, phase: str = "train") -> list[dict[str, Any]]:
    """Of a run at work, too: what stands behind the last end of line is half written."""
    path = folder / "metrics.jsonl"
    whole = path.read_text().split("\n")[:-1] if path.exists() else []
    lines = [json.loads(line) for line in whole]
    return [line for line in lines if line["phase"] == phase]


def result(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return found


def start(kind: str, folder: Path, config: configs.Config) -> subprocess.Popen[bytes]:
    """`python -m rlhf.learning KIND FOLDER` as a real child process."""
    (folder / "config.json").write_text(json.dumps(configs.to_dict(config)))
    return subprocess.Popen([sys.executable, "-m", "rlhf.learning", kind, str(folder)], stderr=subprocess.PIPE)


def weights(folder: Path) -> str:
    return sha256(folder / "model.safetensors")
