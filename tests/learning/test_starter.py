"""Runs are started in milliseconds, end as they end, and never outlive the process that started them."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rlhf.learning.configs import SampleConfig, SamplingConfig, SFTConfig, TextConfig, to_dict
from rlhf.learning.starter import Starter
from tests.learning.conftest import wait_for

TEXT = TextConfig(max_prompt_tokens=96, max_completion_tokens=48)


@pytest.fixture(params=["warm", "cold"])
def starter(request: pytest.FixtureRequest, warm: Starter) -> Iterator[Starter]:
    if request.param == "warm":
        yield warm
        return
    with Starter(warm=False) as cold:
        yield cold


def write_sample(folder: Path, model: Path) -> Path:
    config = SampleConfig(model=str(model), text=TEXT, sampling=SamplingConfig(num_samples=2))
    (folder / "config.json").write_text(json.dumps(to_dict(config)))
    return folder


def write_endless_sft(folder: Path, model: Path) -> Path:
    config = SFTConfig(model=str(model), text=TEXT, num_epochs=100_000, batch_size=8, micro_batch_size=8)
    config = dataclasses.replace(config, engine=dataclasses.replace(config.engine, checkpoint_every=0, log_every=1))
    (folder / "config.json").write_text(json.dumps(to_dict(config)))
    return folder


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_run_succeeds(starter: Starter, prompts: Callable[..., Path], llama_path: Path) -> None:
    folder = write_sample(prompts(), llama_path)
    assert starter.run(kind="sample", folder=folder).wait(60) == 0
    assert (folder / "result.json").exists()


def test_bad_input_is_exit_code_2_and_one_sentence(starter: Starter, prompts: Callable[..., Path]) -> None:
    folder = write_sample(prompts(), Path("/nowhere/model"))
    assert starter.run(kind="sample", folder=folder).wait(60) == 2
    assert (folder / "log.txt").read_text() == "/nowhere/model: no such model directory\n"


def test_terminate_writes_a_checkpoint_and_is_exit_code_3(
    starter: Starter, demonstrations: Callable[..., Path], llama_path: Path
) -> None:
    folder = write_endless_sft(demonstrations(), llama_path)
    child = starter.run(kind="sft", folder=folder)
    wait_for(lambda: (folder / "metrics.jsonl").exists())
    assert child.poll() is None
    child.terminate()
    assert child.wait(30) == 3
    assert (folder / "checkpoint/LATEST").exists()
    assert not (folder / "result.json").exists()


def test_a_killed_child_leaves_the_starter_well(
    warm: Starter, demonstrations: Callable[..., Path], prompts: Callable[..., Path], llama_path: Path
) -> None:
    endless = write_endless_sft(demonstrations("endless"), llama_path)
    child = warm.run(kind="sft", folder=endless)
    beside = warm.run(kind="sample", folder=write_sample(prompts("beside"), llama_path))
    wait_for(lambda: (endless / "metrics.jsonl").exists())
    child.kill()
    assert child.wait(30) == -signal.SIGKILL
    assert beside.wait(60) == 0
    assert warm.run(kind="sample", folder=write_sample(prompts("after"), llama_path)).wait(60) == 0


CLIENT = """
import sys, time
from pathlib import Path
from rlhf.learning.starter import Starter
from tests.learning.conftest import wait_for
starter = Starter(warm=sys.argv[1] == "warm")
starter.start()
child = starter.run(kind="sft", folder=Path(sys.argv[2]))
print(child.pid, starter._server.process.pid if starter._server else child.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("how", ["warm", "cold"])
def test_kill_9_of_the_client_ends_starter_and_child(
    how: str, demonstrations: Callable[..., Path], llama_path: Path
) -> None:
    folder = write_endless_sft(demonstrations(), llama_path)
    client = subprocess.Popen([sys.executable, "-c", CLIENT, how, str(folder)], stdout=subprocess.PIPE, text=True)
    assert client.stdout is not None
    pids = [int(pid) for pid in client.stdout.readline().split()]
    wait_for(lambda: (folder / "metrics.jsonl").exists())
    assert all(is_alive(pid) for pid in pids)
    os.kill(client.pid, signal.SIGKILL)
    client.wait()
    client.stdout.close()
    wait_for(lambda: not any(is_alive(pid) for pid in pids), timeout_s=5)


def test_kill_9_of_the_warm_process_ends_its_child_and_the_next_run_gets_a_new_one(
    demonstrations: Callable[..., Path], prompts: Callable[..., Path], llama_path: Path
) -> None:
    with Starter() as starter:
        folder = write_endless_sft(demonstrations("endless"), llama_path)
        child = starter.run(kind="sft", folder=folder)
        wait_for(lambda: (folder / "metrics.jsonl").exists())
        assert starter._server is not None
        starter._server.process.kill()
        wait_for(lambda: not is_alive(child.pid), timeout_s=5)
        assert child.wait(5) == -signal.SIGKILL
        assert starter.run(kind="sample", folder=write_sample(prompts("after"), llama_path)).wait(120) == 0


def test_the_client_needs_no_torch() -> None:
    code = "import sys, rlhf.learning.starter, rlhf.learning.checkpoint; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_from_a_warm_start_the_first_answers_are_there_within_a_second(
    warm: Starter, prompts: Callable[..., Path], llama_path: Path
) -> None:
    """The budget is 0.5 s to the first forward; a whole small run in twice that leaves room for a busy machine."""
    seconds = []
    for name in ("first", "second", "third", "fourth"):
        folder = write_sample(prompts(name), llama_path)
        started = time.monotonic()
        assert warm.run(kind="sample", folder=folder).wait(60) == 0
        seconds.append(time.monotonic() - started)
    assert min(seconds) < 1.0
