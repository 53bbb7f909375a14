"""kill -9 at five random points of each stage: weights, rows and metrics are those of a run that nobody disturbed."""

from __future__ import annotations

import json
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from rlhf.learning.configs import Config, EngineConfig, SampleConfig, SamplingConfig, SFTConfig, to_dict
from rlhf.learning.starter import Starter
from rlhf.learning.tables import CORPUS, DEMONSTRATIONS, write_table
from tests.learning.conftest import answer, demonstration_rows, wait_for
from tests.learning.rankings import (
    metric_lines,
    new_reward_model,
    prompts_folder,
    rankings_folder,
    reward_config,
    text_config,
)
from tests.learning.test_best_of_n import best_of_n_config
from tests.learning.test_dpo import dpo_config
from tests.learning.test_grpo import grpo_config
from tests.learning.test_ppo import ppo_config

NUM_KILLS = 5
ENGINE = EngineConfig(checkpoint_every=2)
TIMED = {"time", "tokens_per_second", "rows_per_second"}
STAGES = ("sft", "reward", "sample", "best_of_n", "ppo", "dpo", "grpo")


def config_of(kind: str, path: Path, reward_path: Path) -> Config:
    """Some dozen steps of each stage, with the options that keep state between steps."""
    shorts: dict[str, Any] = {"engine": ENGINE}
    if kind == "sft":
        return SFTConfig(
            model=str(path),
            text=text_config("chat"),
            engine=ENGINE,
            num_epochs=6,
            batch_size=4,
            micro_batch_size=2,
            evaluate_every=3,
            mix_share=0.2,
        )
    if kind == "reward":
        return reward_config(path, "chat", num_epochs=8, batch_size=6, micro_batch_size=3, evaluate_every=3, **shorts)
    if kind == "sample":
        sampling = SamplingConfig(num_samples=12, batch_size=8)
        return SampleConfig(model=str(path), text=text_config("chat"), engine=ENGINE, sampling=sampling)
    if kind == "best_of_n":
        changes = {"num_epochs": 12, "batch_size": 2, "micro_batch_size": 2, "evaluate_every": 3}
        return best_of_n_config(path, reward_path, "chat", **changes, **shorts)
    if kind == "ppo":
        options = {"kl_target": 1.0, "kl_horizon": 100, "ptx_coefficient": 0.5, "ptx_batch_size": 4, "ema_decay": 0.9}
        return ppo_config(path, reward_path, "chat", num_iterations=12, **options, **shorts)
    if kind == "dpo":
        return dpo_config(path, num_epochs=8, evaluate_every=3, **shorts)
    return grpo_config(path, reward_path, num_iterations=12, **shorts)


def folder_of(kind: str, folder: Path) -> Path:
    if kind in ("sft", "ppo"):
        write_table(folder / "data/demonstrations.parquet", DEMONSTRATIONS, demonstration_rows(20, 4))
    if kind == "sft":
        write_table(folder / "data/corpus.parquet", CORPUS, [{"text_id": i, "text": answer(i) * 9} for i in range(5)])
    return rankings_folder(folder, num_twice=8) if kind in ("reward", "dpo") else prompts_folder(folder)


def lines_of(folder: Path) -> list[dict[str, Any]]:
    text = (folder / "metrics.jsonl").read_text() if (folder / "metrics.jsonl").exists() else ""
    lines = [json.loads(line) for line in text.split("\n")[:-1]]  # without one that is being written
    return [{name: value for name, value in line.items() if name not in TIMED} for line in lines]


@pytest.mark.parametrize("kind", STAGES)
def test_five_kills_change_nothing(kind: str, llama_path: Path, tmp_path: Path, warm: Starter) -> None:
    reward_path = new_reward_model(tmp_path / "reward", llama_path)
    config = json.dumps(to_dict(config_of(kind, llama_path, reward_path)))
    whole, killed = (folder_of(kind, tmp_path / name) for name in ("whole", "killed"))
    for folder in (whole, killed):
        (folder / "config.json").write_text(config)
    assert warm.run(kind=kind, folder=whole).wait(180) == 0, (whole / "log.txt").read_text()
    expected = lines_of(whole)
    before_last = [place for place, line in enumerate(expected, 1) if line["step"] < expected[-1]["step"]]
    for place in sorted(random.sample(before_last, NUM_KILLS)):  # behind the last step a run may end by itself
        child = warm.run(kind=kind, folder=killed)
        line = expected[place - 1]
        wait_for(lambda line=line, child=child: line in lines_of(killed) or child.poll() is not None)
        time.sleep(random.uniform(0, 0.02))  # also within the next step, and while a checkpoint is written
        child.kill()
        assert child.wait(30) == -signal.SIGKILL, f"line {place} of {len(expected)}: ended by itself"
        assert not (killed / "result.json").exists()
    assert warm.run(kind=kind, folder=killed).wait(180) == 0, (killed / "log.txt").read_text()
    assert lines_of(killed) == expected
    one, two = (json.loads((folder / "result.json").read_text()) for folder in (whole, killed))
    assert one["outputs"] == two["outputs"]  # hashes of weights and rows
    assert {k: v for k, v in one["metrics"].items() if k not in TIMED} == {
        k: v for k, v in two["metrics"].items() if k not in TIMED
    }
    assert metric_lines(killed, "warning") == []
