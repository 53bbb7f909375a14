"""A run that is told to evaluate saves the weights of its best step, and one that isn't those of its last."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from rlhf.learning import dpo, reward, sft
from rlhf.learning.configs import Config, ConfigError, EngineConfig, OptimizerConfig, SFTConfig
from rlhf.learning.selection import NothingHeldOut
from rlhf.learning.tables import DEMONSTRATIONS, RANKINGS, write_table
from tests.learning.conftest import demonstration_rows
from tests.learning.rankings import metric_lines, ranking_rows, result, reward_config, weights
from tests.learning.several import Job, config_of, job, work, work_together
from tests.learning.test_dpo import dpo_config
from tests.learning.test_sft import config as sft_config

STEEP = OptimizerConfig(learning_rate=3e-2, schedule="constant", warmup_share=0.0)  # overfits within some steps
SHORT = {"optimizer": STEEP, "engine": EngineConfig(checkpoint_every=0), "batch_size": 8, "micro_batch_size": 8}


def _noisy_rankings(folder: Path, count: int = 16, num_held_out: int = 8) -> Path:
    """What training rankings prefer, held-out ones don't: the longer a model learns, the worse it does."""
    rows = [row | {"ranks": row["ranks"][::-1] if row["split"] == "held_out" else row["ranks"]}
            for row in ranking_rows(count, num_held_out)]  # fmt: skip
    write_table(folder / "data/rankings.parquet", RANKINGS, rows)
    return folder


def _run(kind: str, folder: Path, path: Path, make: Callable[..., Path], **changes: Any) -> Path:
    if kind == "sft":
        folder = make(folder.name, count=16, num_held_out=8)
        sft.run(folder, sft_config(path, **({"num_epochs": 12} | SHORT | changes)))
    elif kind == "reward":
        reward.run(_noisy_rankings(folder), reward_config(path, "chat", **({"num_epochs": 8} | SHORT | changes)))
    else:
        dpo.run(_noisy_rankings(folder), dpo_config(path, **({"num_epochs": 8} | SHORT | changes)))
    return folder


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("sft", {}),
        ("reward", {}),
        ("reward", {"choose_by": "accuracy"}),
        ("dpo", {}),
        ("dpo", {"choose_by": "accuracy"}),
    ],
)
def test_the_saved_weights_are_those_of_the_best_step_and_not_when_switched_off(
    kind: str, changes: dict[str, Any], llama_path: Path, tmp_path: Path, demonstrations: Callable[..., Path]
) -> None:
    chosen = _run(kind, tmp_path / "chosen", llama_path, demonstrations, evaluate_every=1, **changes)
    last = _run(kind, tmp_path / "last", llama_path, demonstrations)
    by = changes.get("choose_by", "loss")
    lines = metric_lines(chosen, "evaluate")
    found = [line[f"held_out_{by}"] * (1 if by == "loss" else -1) for line in lines]
    best = found.index(min(found)) + 1
    assert [line["step"] for line in lines] == list(range(1, len(lines) + 1))
    assert best < len(lines) and found[best - 1] < found[-1]  # it did overfit
    assert result(chosen)["metrics"]["best_step"] == lines[-1]["best_step"] == best
    assert weights(chosen / "model") != weights(last / "model")
    assert metric_lines(last, "evaluate") == [] and "best_step" not in result(last)["metrics"]
    # The same run cut off at its best step ends with the very weights that were chosen.
    assert _trains_alike(chosen, last)
    stopped = _run(kind, tmp_path / "stopped", llama_path, demonstrations, num_epochs=best)
    assert weights(stopped / "model") == weights(chosen / "model")


def _trains_alike(one: Path, other: Path) -> bool:
    return [line["loss"] for line in metric_lines(one)] == [line["loss"] for line in metric_lines(other)]


@pytest.mark.parametrize("loss", ["ipo", "kto"])
def test_every_direct_loss_can_choose(loss: str, llama_path: Path, tmp_path: Path) -> None:
    folder = _noisy_rankings(tmp_path)
    dpo.run(folder, dpo_config(llama_path, loss=loss, evaluate_every=2, num_epochs=3, **SHORT))
    assert [line["step"] for line in metric_lines(folder, "evaluate")] == [2, 3]


@pytest.mark.parametrize("ties", ["drop", "rao_kupper", "davidson"])
def test_a_reward_model_chooses_under_every_reading_of_ties(ties: str, llama_path: Path, tmp_path: Path) -> None:
    config = reward_config(llama_path, "chat", ties=ties, num_heads=2, evaluate_every=2, **{**SHORT, "num_epochs": 2})
    reward.run(_noisy_rankings(tmp_path), config)
    assert all(line["held_out_loss"] > 0 for line in metric_lines(tmp_path, "evaluate"))


def test_without_held_out_rows_nothing_can_be_chosen(llama_path: Path, demonstrations: Callable[..., Path]) -> None:
    folder = demonstrations(num_held_out=0)
    with pytest.raises(NothingHeldOut, match="evaluate_every: found 1 and no held-out row"):
        sft.run(folder, sft_config(llama_path, evaluate_every=1))
    with pytest.raises(ConfigError, match="evaluate_every: expected 0 or more, found -1"):
        SFTConfig(model="m", evaluate_every=-1)


TOGETHER = ("replicate-reward", "shard-sft", "shard-reward", "resumed-sft", "resumed-reward")


@pytest.fixture(scope="module")
def runs(llama_path: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs of one process, of two in either mode, and of two, in pieces, that go on from a checkpoint of one."""
    root, jobs = tmp_path_factory.mktemp("runs"), []
    steep = OptimizerConfig(learning_rate=5e-3, schedule="constant", warmup_share=0.0)
    for kind in ("sft", "reward"):
        config = config_of(kind, llama_path, llama_path, 8, evaluate_every=1, optimizer=steep)
        alone = _unlike(*job(kind, root / f"alone-{kind}", config, checkpoint_every=5))
        work(*alone)
        for name in TOGETHER:
            how, of = name.split("-")
            mode = "replicate" if how == "replicate" else "shard"
            if of == kind:
                jobs.append(_unlike(*job(kind, root / name, config, parallel=mode, checkpoint_every=5)))
            if of == kind and how == "resumed":
                shutil.copytree(alone[1] / "checkpoint", root / name / "checkpoint")
                shutil.copy(alone[1] / "metrics.jsonl", root / name)
    work_together(2, jobs, root / "jobs.json")
    return {path.name: path for path in root.iterdir()}


def _unlike(kind: str, folder: Path, config: Config) -> Job:
    """With held-out rows that are unlike the others, so that the best step isn't the last."""
    if kind == "reward":
        _noisy_rankings(folder, 34, 4)
    else:
        rows = [row if row["split"] == "held_out" else row | {"completion": "no"} for row in demonstration_rows(34, 4)]
        write_table(folder / "data/demonstrations.parquet", DEMONSTRATIONS, rows)
    return kind, folder, config


@pytest.mark.parametrize("name", TOGETHER)
def test_two_processes_choose_the_step_that_one_does(name: str, runs: dict[str, Path]) -> None:
    alone, together = runs[f"alone-{name.split('-')[1]}"], runs[name]
    evaluated = [metric_lines(folder, "evaluate") for folder in (alone, together)]
    for line, other in zip(*evaluated, strict=True):
        assert (line["step"], line["best_step"]) == (other["step"], other["best_step"])
        assert line["held_out_loss"] == pytest.approx(other["held_out_loss"], rel=1e-4)
    best = result(alone)["metrics"]["best_step"]
    assert result(together)["metrics"]["best_step"] == best < evaluated[0][-1]["step"]
    saved = [load_file(folder / "model/model.safetensors") for folder in (alone, together)]
    states = [torch.load(sorted(folder.glob("checkpoint/*/state.pt"))[-1]) for folder in (alone, together)]
    for one, other in (saved, [state["models"]["best"] for state in states]):
        assert one.keys() == other.keys() and one
        for weight, tensor in one.items():  # whole, whatever pieces they lay in
            torch.testing.assert_close(other[weight], tensor, atol=1e-4, rtol=1e-4)
    if name.startswith("resumed"):
        assert "num_processes was 1, is 2" in metric_lines(together, "warning")[0]["warning"]
