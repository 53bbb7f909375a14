"""A run that is told to evaluate saves the weights of its best step, and one that isn't those of its last."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlhf.learning import dpo, reward, sft
from rlhf.learning.configs import ConfigError, EngineConfig, OptimizerConfig, SFTConfig
from rlhf.learning.selection import NothingHeldOut
from rlhf.learning.tables import RANKINGS, write_table
from tests.learning.rankings import metric_lines, ranking_rows, result, reward_config, weights
from tests.learning.test_dpo import dpo_config
from tests.learning.test_sft import config as sft_config

STEEP = OptimizerConfig(learning_rate=3e-2, schedule="constant", warmup_share=0.0)  # overfits within some steps
SHORT = {"optimizer": STEEP, "engine": EngineConfig(checkpoint_every=0), "batch_size": 8, "micro_batch_size": 8}


def _noisy_rankings(folder: Path) -> Path:
    """What training rankings prefer, held-out ones don't: the longer a model learns, the worse it does."""
    rows = [row | {"ranks": row["ranks"][::-1] if row["split"] == "held_out" else row["ranks"]}
            for row in ranking_rows(16, 8)]  # fmt: skip
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
