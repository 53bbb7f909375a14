"""Runs for the tests of several processes: `torchrun ... -m tests.learning.several JOBS` does them one after the other.

PPO and GRPO get fixed rollouts, those of the weights that the run starts from: what is compared is learning, and a
token that falls the other way by a rounding of 1e-7 would be another experiment.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from rlhf.learning import configs, lifeline, rollouts
from rlhf.learning.__main__ import STAGES
from rlhf.learning.configs import Config, EngineConfig, LoRAConfig, OptimizerConfig, SFTConfig
from rlhf.learning.policy import load_policy
from rlhf.learning.tables import DEMONSTRATIONS, write_table
from tests.learning.conftest import demonstration_rows
from tests.learning.rankings import CPU, metric_lines, prompts_folder, rankings_folder, reward_config, text_config

KINDS = ("sft", "reward", "dpo", "ppo", "grpo")
CURVES = ("loss", "policy_loss", "value_loss", "ptx_loss", "gradient_norm", "value_gradient_norm", "kl", "score")
Job = tuple[str, Path, Config]


def config_of(kind: str, path: Path, reward_path: Path, num_steps: int = 20, **changes: Any) -> Config:
    """About `num_steps` optimiser steps of eight rows, in parts of two."""
    sizes = {"batch_size": 8, "micro_batch_size": 2, "text": text_config("chat")}
    optimizer = OptimizerConfig(learning_rate=1e-3, schedule="constant", warmup_share=0.0)
    per_epoch = 4  # of 30 rows: the last step of an epoch has fewer
    if kind == "sft":
        config: Config = SFTConfig(model=str(path), num_epochs=num_steps // per_epoch, optimizer=optimizer, **sizes)
    elif kind == "reward":
        config = reward_config(path, "chat", num_epochs=num_steps // per_epoch, optimizer=optimizer, **sizes)
    elif kind == "dpo":
        config = configs.DPOConfig(str(path), num_epochs=num_steps // per_epoch, optimizer=optimizer, **sizes)
    else:
        config = _of_rollouts(kind, path, reward_path, num_steps, optimizer)
    return replace(config, **changes)  # type: ignore[type-var]


def _of_rollouts(kind: str, path: Path, reward_path: Path, num_steps: int, optimizer: OptimizerConfig) -> Config:
    shared: dict[str, Any] = {
        "model": str(path),
        "reward_model": str(reward_path),
        "text": text_config("chat", max_completion_tokens=10),
        "optimizer": optimizer,
        "num_iterations": num_steps // 2,
        "minibatch_size": 8,
        "micro_batch_size": 2,
        "missing_eos_score": None,
    }
    if kind == "grpo":
        return configs.GRPOConfig(prompts_per_iteration=4, group_size=4, **shared)
    mixed = {"ptx_coefficient": 0.5, "ptx_batch_size": 4, "ema_decay": 0.9}
    return configs.PPOConfig(
        sft_model=str(path), value_learning_rate=1e-3, rollouts_per_iteration=16, kl_coefficient=0.1, **mixed, **shared
    )


def folder_of(kind: str, folder: Path) -> Path:
    if kind in ("sft", "ppo"):
        write_table(folder / "data/demonstrations.parquet", DEMONSTRATIONS, demonstration_rows(34, 4))
    return rankings_folder(folder, 34, 4, num_twice=10) if kind in ("reward", "dpo") else prompts_folder(folder)


def job(kind: str, folder: Path, config: Config, **engine: Any) -> Job:
    config = replace(config, engine=EngineConfig(**engine))  # type: ignore[type-var]
    folder_of(kind, folder)
    (folder / "config.json").write_text(json.dumps(configs.to_dict(config)))
    return kind, folder, config


def work(kind: str, folder: Path, config: Config) -> None:
    """Do one run in this process."""
    stage = importlib.import_module(STAGES[kind])
    real = rollouts.roll_out
    if kind in ("ppo", "grpo"):
        start = load_policy(config.model, CPU)  # type: ignore[union-attr]
        stage.roll_out = lambda _, *others: real(start, *others)  # type: ignore[attr-defined]
    try:
        stage.run(folder, config)
    finally:
        if kind in ("ppo", "grpo"):
            stage.roll_out = real  # type: ignore[attr-defined]


def torchrun(num_processes: int, *module: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={num_processes}"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen([*command, "-m", *module], env=environment, stderr=subprocess.PIPE, start_new_session=True)


def work_together(num_processes: int, jobs: list[Job], scratch: Path) -> None:
    """Do all runs in the same processes."""
    scratch.write_text(json.dumps([[kind, str(folder)] for kind, folder, _ in jobs]))
    process = torchrun(num_processes, "tests.learning.several", str(scratch))
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors.decode()[-3000:]


def difference(one: Path, two: Path) -> float:
    """The largest difference of any curve at any step; of values above 1, as a share."""
    curves = [metric_lines(folder) for folder in (one, two)]
    assert len(curves[0]) == len(curves[1]) > 0, [len(curve) for curve in curves]
    pairs = [(a[name], b[name]) for a, b in zip(*curves, strict=True) for name in CURVES if name in a]
    assert len(pairs) >= 2 * len(curves[0])
    return max(abs(a - b) / max(1.0, abs(a)) for a, b in pairs)


LORA = LoRAConfig(rank=4, alpha=8)

if __name__ == "__main__":
    for kind, folder in json.loads(Path(sys.argv[1]).read_text()):
        work(kind, Path(folder), configs.read(kind, Path(folder) / "config.json"))
    lifeline.leave(0)
