"""One, two and four processes learn the same, weights on each or in pieces; what one writes, another resumes."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from transformers import AutoModelForCausalLM

from rlhf.learning import distributed
from rlhf.learning.configs import ConfigError, EngineConfig, RewardConfig, from_dict
from tests.learning import several
from tests.learning.conftest import wait_for
from tests.learning.rankings import metric_lines, new_reward_model, weights
from tests.learning.several import KINDS, LORA, config_of, difference, folder_of, job, torchrun, work, work_together

TOLERANCE = 1e-5
MODES = ("replicate", "shard")
Runs = dict[str, Path]


@pytest.fixture(scope="module")
def reward_path(llama_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_reward_model(tmp_path_factory.mktemp("reward") / "model", llama_path)


@pytest.fixture(scope="module")
def runs(llama_path: Path, reward_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Every stage for eight steps: alone, and by two processes in either mode; and a longer SFT by two."""
    root, configs = (
        tmp_path_factory.mktemp("runs"),
        {kind: config_of(kind, llama_path, reward_path, 8) for kind in KINDS},
    )
    configs["lora"] = replace(configs["dpo"], lora=LORA)  # type: ignore[type-var]
    jobs = {}
    for name, config in configs.items():
        kind = "dpo" if name == "lora" else name
        work(*job(kind, root / f"alone-{name}", config, checkpoint_every=3))
        for mode in MODES:
            jobs[f"{mode}-{name}"] = job(kind, root / f"{mode}-{name}", config, parallel=mode, checkpoint_every=3)
    jobs["long"] = job("sft", root / "long", config_of("sft", llama_path, reward_path, LONG), **LONG_ENGINE)
    work_together(2, list(jobs.values()), root / "jobs.json")
    return {path.name: path for path in root.iterdir()}


LONG = 120
LONG_ENGINE: dict[str, Any] = {"parallel": "shard", "checkpoint_every": 5}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", [*KINDS, "lora"])
def test_two_processes_learn_what_one_does(name: str, mode: str, runs: Runs) -> None:
    alone, together = runs[f"alone-{name}"], runs[f"{mode}-{name}"]
    assert difference(alone, together) < TOLERANCE
    files = [sorted(str(p.relative_to(folder)) for p in folder.rglob("*")) for folder in (alone, together)]
    assert files[0] == files[1]  # one process alone wrote them
    states = [torch.load(sorted(f.glob("checkpoint/*/state.pt"))[-1], weights_only=True) for f in (alone, together)]
    for model, state in states[0]["models"].items():
        for weight, tensor in state.items():
            torch.testing.assert_close(states[1]["models"][model][weight], tensor, atol=TOLERANCE, rtol=TOLERANCE)


def test_a_policy_that_lay_in_pieces_loads_as_any_other(runs: Runs) -> None:
    ours, alone = (AutoModelForCausalLM.from_pretrained(runs[name] / "model") for name in ("shard-sft", "alone-sft"))
    for one, other in zip(ours.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=TOLERANCE, rtol=TOLERANCE)
    assert json.loads((runs["shard-sft"] / "model/config.json").read_text())["architectures"] == ["LlamaForCausalLM"]


@pytest.mark.parametrize("name", ["shard-ppo", "replicate-grpo"])
def test_one_process_goes_on_from_a_checkpoint_of_two(name: str, runs: Runs, tmp_path: Path) -> None:
    kind = name.split("-")[1]
    folder = Path(shutil.copytree(runs[name], tmp_path / "resumed"))
    (folder / "result.json").unlink()
    work(kind, folder, several.configs.read(kind, folder / "config.json"))
    assert difference(runs[f"alone-{kind}"], folder) < TOLERANCE
    assert "num_processes was 2, is 1" in metric_lines(folder, "warning")[0]["warning"]


@pytest.mark.parametrize("victims", [["worker"], pytest.param(["torchrun", "worker"], marks=pytest.mark.proofs)])
def test_a_death_ends_all_and_the_next_start_ends_the_same(victims: list[str], runs: Runs, tmp_path: Path) -> None:
    folder = folder_of("sft", tmp_path / "run")
    shutil.copy(runs["long"] / "config.json", folder)
    for place, victim in enumerate(victims):
        process = torchrun(2, "rlhf.learning", "sft", str(folder))
        wait_for(lambda process=process, n=8 + 30 * place: _num_lines(folder) > n or process.poll() is not None)
        everyone = psutil.Process(process.pid).children(recursive=True)
        assert process.poll() is None and len(everyone) == 2, process.stderr
        os.kill(process.pid if victim == "torchrun" else everyone[-1].pid, signal.SIGKILL)
        process.communicate(timeout=60)
        assert process.returncode != 0
        wait_for(lambda everyone=everyone: not any(_alive(one) for one in everyone))
        assert not (folder / "result.json").exists()
    process = torchrun(2, "rlhf.learning", "sft", str(folder))
    assert process.communicate(timeout=120) and process.returncode == 0
    assert weights(folder / "model") == weights(runs["long"] / "model")
    assert [line["loss"] for line in metric_lines(folder)] == [line["loss"] for line in metric_lines(runs["long"])]
    assert metric_lines(folder, "warning") == []


def _num_lines(folder: Path) -> int:
    path = folder / "metrics.jsonl"
    return path.read_text().count("\n") if path.exists() else 0


def _alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("kind", KINDS)
def test_eight_times_one_is_four_times_two_is_one_times_eight(
    kind: str, llama_path: Path, reward_path: Path, tmp_path: Path
) -> None:
    folders = []
    for size in (8, 2, 1):
        config = config_of(kind, llama_path, reward_path, 8, micro_batch_size=size)
        work(*job(kind, tmp_path / str(size), config))
        folders.append(tmp_path / str(size))
    assert max(difference(folders[0], folder) for folder in folders[1:]) < TOLERANCE


@pytest.mark.proofs
@pytest.mark.parametrize("num_processes", [2, 4])
def test_twenty_steps_of_two_and_four_processes(
    num_processes: int, llama_path: Path, reward_path: Path, tmp_path: Path, record_property: Callable[[str, Any], None]
) -> None:
    configs = {kind: config_of(kind, llama_path, reward_path, 20) for kind in KINDS}
    for kind, config in configs.items():
        work(*job(kind, tmp_path / f"alone-{kind}", config))
    jobs = [job(k, tmp_path / f"{mode}-{k}", c, parallel=mode) for mode in MODES for k, c in configs.items()]
    work_together(num_processes, jobs, tmp_path / "jobs.json")
    found = {(m, k): difference(tmp_path / f"alone-{k}", tmp_path / f"{m}-{k}") for m in MODES for k in KINDS}
    for (mode, kind), largest in found.items():
        record_property(f"{kind}, {mode}, {num_processes} processes", largest)
        print(f"{num_processes} processes, {mode}, {kind}: {largest:.1e}")
    assert max(found.values()) < TOLERANCE


def test_alone_there_is_nothing_to_share() -> None:
    assert distributed.share([1, 2, 3]) == [(1, True), (2, True), (3, True)] and distributed.share([]) == []
    assert distributed.micro_batch_size(64, 10) == 10 and distributed.micro_batch_size(4, 10) == 4
    assert distributed.sum_over_processes({"a": 2.0}) == {"a": 2.0} and distributed.gather([1]) == [[1]]


def test_chunks_of_a_ranking_and_weights_in_pieces_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match="completions_per_forward: expected none where engine.parallel is shard"):
        RewardConfig("model", engine=EngineConfig(parallel="shard"), completions_per_forward=2)
    with pytest.raises(
        ConfigError, match=r"sft.engine.parallel: expected one of \['replicate', 'shard'\], found 'ddp'"
    ):
        from_dict("sft", {"model": "m", "engine": {"parallel": "ddp"}})
