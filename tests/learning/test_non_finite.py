"""A loss or a gradient that is no number stops every stage, names the rows of its batch, and leaves no model."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from rlhf.learning import loop
from rlhf.learning.__main__ import main
from rlhf.learning.configs import to_dict
from rlhf.learning.tables import DEMONSTRATIONS, write_table
from tests.learning.conftest import demonstration_rows, save
from tests.learning.rankings import metric_lines, new_reward_model, prompts_folder, rankings_folder, reward_config
from tests.learning.test_dpo import dpo_config
from tests.learning.test_grpo import grpo_config
from tests.learning.test_ppo import ppo_config
from tests.learning.test_sft import config as sft_config

STAGES = ("sft", "reward", "dpo", "ppo", "grpo")
NUM_ROWS = {"sft": range(100, 120), "reward": range(500, 524), "dpo": range(500, 524)}


def _ready(kind: str, folder: Path, path: Path, reward: Path) -> Path:
    """A run folder of each stage, two rows a forward and four a step."""
    small: dict[str, Any] = {"batch_size": 4, "micro_batch_size": 2}
    config = {
        "sft": lambda: sft_config(path, **small),
        "reward": lambda: reward_config(path, "chat", **small),
        "dpo": lambda: dpo_config(path, **small),
        "ppo": lambda: ppo_config(path, reward, "chat", minibatch_size=4, micro_batch_size=2),
        "grpo": lambda: grpo_config(path, reward, minibatch_size=4, micro_batch_size=2),
    }[kind]()
    if kind == "sft":
        write_table(folder / "data/demonstrations.parquet", DEMONSTRATIONS, demonstration_rows(20))
    elif kind in ("reward", "dpo"):
        rankings_folder(folder, 20, 0)
    else:
        prompts_folder(folder)
    (folder / "config.json").write_text(json.dumps(to_dict(config)))
    return folder


class _Poison:
    """Makes a number of the third optimiser step nan: of its loss, or of the gradients behind a finite loss."""

    def __init__(self, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.where, self.steps_left = where, 2
        apply, accumulate = loop.Learner.apply, loop.accumulate

        def apply_and_count(learner: loop.Learner, row_ids: Any = ()) -> float:
            if self.due and where == "gradient":
                next(p for p in learner.parameters if p.grad is not None).grad.view(-1)[0] = float("nan")
            self.steps_left -= 1
            return apply(learner, row_ids)

        def accumulate_poisoned(parts: Any, loss_sum: Any, count: float, row_ids: Any, *sums: Any) -> float:
            def loss(part: Any) -> Tensor:
                found: Tensor = loss_sum(part)
                return found * float("nan") if self.due and where == "loss" else found

            return accumulate(parts, loss, count, row_ids, *sums)

        monkeypatch.setattr(loop.Learner, "apply", apply_and_count)
        monkeypatch.setattr(loop, "accumulate", accumulate_poisoned)
        monkeypatch.setattr("rlhf.learning.sft.accumulate", accumulate_poisoned)

    @property
    def due(self) -> bool:
        return self.steps_left == 0


@pytest.mark.parametrize("where", ["loss", "gradient"])
@pytest.mark.parametrize("kind", STAGES)
def test_the_rows_of_the_batch_are_named_and_nothing_is_saved(
    kind: str,
    where: str,
    llama_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = _ready(kind, tmp_path / "run", llama_path, new_reward_model(tmp_path / "reward", llama_path))
    _Poison(where, monkeypatch)
    assert main([kind, str(folder)]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    rows = [int(row) for row in re.findall(r"rows of this \w+: \[([\d, ]+)\]", said)[0].split(",")]
    assert said.startswith("found a loss of nan" if where == "loss" else "found a gradient norm of nan")
    assert len(rows) == (2 if where == "loss" else 4), said
    assert set(rows) <= set(NUM_ROWS.get(kind, range(2, 12)))  # prompts 0 and 1 are held out
    assert not (folder / "model").exists() and not (folder / "result.json").exists()
    if kind in NUM_ROWS:
        assert [line["step"] for line in metric_lines(folder)] == [1, 2]


@pytest.mark.parametrize("kind", STAGES)
def test_a_checkpoint_with_a_weight_that_is_no_number_stops_the_first_step(
    kind: str, qwen2_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without any hand in the loop."""
    model = AutoModelForCausalLM.from_pretrained(qwen2_path)
    with torch.no_grad():
        model.model.norm.weight[3] = float("nan")
    broken = save(model, AutoTokenizer.from_pretrained(qwen2_path), tmp_path / "broken")
    folder = _ready(kind, tmp_path / "run", broken, new_reward_model(tmp_path / "reward", qwen2_path))
    assert main([kind, str(folder)]) == 2
    said = capsys.readouterr().err
    assert re.search(r"found a loss of nan.*rows of this batch: \[\d+", said), said
    assert not (folder / "model").exists() and metric_lines(folder) == []
