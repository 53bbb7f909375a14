"""The engine: schedules by hand, accumulation that doesn't see its partition, and stops that lose nothing."""

from __future__ import annotations

import json
import math
import os
import signal
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from rlhf.learning.checkpoint import Stopped
from rlhf.learning.configs import EngineConfig, OptimizerConfig
from rlhf.learning.loop import Learner, NonFiniteLoss, Run, accumulate, epoch_order, set_up
from rlhf.learning.schedule import schedule_factor


def factors(config: OptimizerConfig, total_steps: int) -> list[float]:
    return [schedule_factor(step, total_steps, config) for step in range(total_steps)]


def test_schedules_by_hand() -> None:
    linear = OptimizerConfig(schedule="linear", warmup_share=0.2, final_share=0.0)
    assert factors(linear, 10) == pytest.approx([1 / 2, 1, 1, 6 / 7, 5 / 7, 4 / 7, 3 / 7, 2 / 7, 1 / 7, 0])
    cosine = OptimizerConfig(schedule="cosine", warmup_share=0.0, final_share=0.1)
    assert factors(cosine, 3) == pytest.approx([1, 0.55, 0.1])
    assert factors(OptimizerConfig(schedule="constant", warmup_share=0.25), 8) == [0.5] + [1.0] * 7
    assert factors(OptimizerConfig(), 1) == [1.0]


@given(st.integers(1, 200), st.sampled_from(["constant", "linear", "cosine"]), st.floats(0, 0.9), st.floats(0, 1))
def test_a_schedule_rises_to_one_and_then_never_rises(
    total_steps: int, schedule: str, warmup_share: float, final_share: float
) -> None:
    config = OptimizerConfig(schedule=schedule, warmup_share=warmup_share, final_share=final_share)  # type: ignore[arg-type]
    found = factors(config, total_steps)
    peak = max(0, math.ceil(warmup_share * total_steps) - 1)
    assert found[peak] == 1.0 and all(0 <= f <= 1 for f in found)
    assert found[: peak + 1] == sorted(found[: peak + 1]) and found[peak:] == sorted(found[peak:], reverse=True)


def test_an_epoch_holds_every_row_once_in_an_order_of_its_own() -> None:
    orders = [epoch_order(50, seed, epoch) for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert orders[0] == epoch_order(50, 0, 0) and len({tuple(order) for order in orders}) == 3


def weights_after(parts: list[slice], rows: torch.Tensor) -> list[torch.Tensor]:
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    learner = Learner(model, OptimizerConfig(learning_rate=0.1), total_steps=5)
    for _ in range(5):
        accumulate(
            [rows[part] for part in parts], lambda x: model(x).square().sum(), len(rows), lambda x: range(len(x))
        )
        learner.apply()
    return [p.detach().clone() for p in model.parameters()]


def test_eight_times_one_is_four_times_two_is_one_times_eight() -> None:
    rows = torch.randn(8, 3, generator=torch.Generator().manual_seed(1))
    whole = weights_after([slice(0, 8)], rows)
    for size in (1, 2, 4):
        split = weights_after([slice(i, i + size) for i in range(0, 8, size)], rows)
        assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(whole, split, strict=True))


def test_gradients_are_clipped_and_the_norm_before_is_told() -> None:
    model = nn.Linear(1, 1, bias=False)
    learner = Learner(model, OptimizerConfig(max_grad_norm=1.0), total_steps=1)
    model.weight.grad = torch.tensor([[3.0]])
    assert learner.apply() == pytest.approx(3.0)
    exp_avg = learner.optimizer.state[model.weight]["exp_avg"]
    assert float(exp_avg) == pytest.approx((1 - 0.9) * 1.0, rel=1e-3)


def test_adams_eps_is_that_of_the_papers_and_halves_a_step_along_a_gradient_of_its_size() -> None:
    model = nn.Linear(1, 1, bias=False)
    before = model.weight.item()
    learner = Learner(model, OptimizerConfig(learning_rate=0.1, schedule="constant", warmup_share=0.0), total_steps=1)
    model.weight.grad = torch.tensor([[1e-5]])
    learner.apply()
    assert before - model.weight.item() == pytest.approx(0.1 / 2, rel=1e-4)


def test_weight_decay_spares_gains_and_biases() -> None:
    model = nn.Linear(2, 2)
    groups = Learner(model, OptimizerConfig(weight_decay=0.1), total_steps=1).optimizer.param_groups
    found = {g["weight_decay"]: [tuple(p.shape) for p in g["params"]] for g in groups}
    assert found == {0.1: [(2, 2)], 0.0: [(2,)]}


def test_a_loss_that_is_no_number_names_its_rows_and_changes_nothing() -> None:
    model = nn.Linear(1, 1)
    before = model.weight.detach().clone()
    with pytest.raises(NonFiniteLoss, match=r"found a loss of nan.*\[41, 42\]"):
        accumulate([torch.tensor([[float("nan")]])], lambda x: model(x).sum(), 1, lambda _: [41, 42])
    learner = Learner(model, OptimizerConfig(), total_steps=1)
    model.weight.grad = torch.full((1, 1), float("inf"))
    with pytest.raises(NonFiniteLoss, match="gradient norm of inf"):
        learner.apply()
    assert torch.equal(before, model.weight)


def work(folder: Path, stop_at: int | None = None, until: int = 10) -> torch.Tensor:
    """Ten steps of a tiny regression whose data comes from the random state, which a checkpoint must hold."""
    engine = EngineConfig(checkpoint_every=4)
    set_up(engine)
    model = nn.Linear(2, 1)
    learner = Learner(model, OptimizerConfig(learning_rate=0.1), total_steps=10)
    run = Run(folder, "sft", engine, total_steps=10)
    state = run.resume({"model": model}, {"model": learner})
    total = state.get("total", 0.0)
    while run.step < until:
        loss = accumulate([torch.randn(4, 2)], lambda x: model(x).square().sum(), 4, lambda _: [])
        learner.apply()
        total += loss
        if run.step + 1 == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)
        run.end_step("train", {"loss": loss}, {"total": total})
    run.finish({"total": total}, [])
    return model.weight.detach().clone()


def logged(folder: Path) -> list[tuple[int, float]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [(line["step"], line["loss"]) for line in lines]


def test_sigterm_stops_after_the_step_and_the_next_start_ends_the_same(tmp_path: Path) -> None:
    for name in ("whole", "stopped"):
        (tmp_path / name).mkdir()
    whole = work(tmp_path / "whole")
    with pytest.raises(Stopped, match="stopped at step 7 of 10"):
        work(tmp_path / "stopped", stop_at=7)
    assert (tmp_path / "stopped/checkpoint/LATEST").read_text() == "7"
    assert torch.equal(work(tmp_path / "stopped"), whole)
    assert logged(tmp_path / "stopped") == logged(tmp_path / "whole")
    results = [json.loads((tmp_path / name / "result.json").read_text()) for name in ("whole", "stopped")]
    assert results[0] == results[1]


def test_a_death_between_checkpoints_repeats_the_steps_since(tmp_path: Path) -> None:
    for name in ("whole", "dead"):
        (tmp_path / name).mkdir()
    whole = work(tmp_path / "whole")
    work(tmp_path / "dead", until=6)
    (tmp_path / "dead/result.json").unlink()
    assert torch.equal(work(tmp_path / "dead"), whole)
    assert logged(tmp_path / "dead") == logged(tmp_path / "whole")


def test_resuming_elsewhere_warns(tmp_path: Path) -> None:
    work(tmp_path, until=5)
    manifest = tmp_path / "checkpoint/4/manifest.json"
    changed = json.loads(manifest.read_text())
    changed["environment"]["torch"] = "1.0"
    manifest.write_text(json.dumps(changed))
    work(tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    warnings = [line["warning"] for line in lines if line["phase"] == "warning"]
    assert len(warnings) == 1 and warnings[0].startswith("resumed, but not exactly: torch was 1.0, is ")


def test_the_result_holds_the_hash_of_every_output(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/weights").write_bytes(b"abc")
    (tmp_path / "rows.parquet").write_bytes(b"")
    Run(tmp_path, "sft", EngineConfig(), total_steps=1).finish({"loss": 1.0}, ["model", "rows.parquet"])
    assert json.loads((tmp_path / "result.json").read_text()) == {
        "kind": "sft",
        "metrics": {"loss": 1.0},
        "outputs": {
            "model/weights": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "rows.parquet": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        },
    }
