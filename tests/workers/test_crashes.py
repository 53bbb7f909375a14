"""Whatever is killed, the demo ends with the same weights, and nothing is counted twice, lost or left running."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from annotate.management.demo import pretraining
from annotate.management.demo.recipe import SMALL
from tests.workers.killed_judging import kill_in_the_middle as kill_judging
from tests.workers.killed_judging import show, silent_model
from tests.workers.processes import Command, gpu_child, gpu_worker, named, processes, wait_for
from tests.workers.records import Records

pytestmark = pytest.mark.slow
DEMO = ("demo", "--size", "small", "--rounds", "2", "--exit")
KINDS = ("people", "gold", "llm", "reward_model")
LONG_S = 400.0  # for a machine that has much else to do


@pytest.fixture(scope="module")
def base_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cache = tmp_path_factory.mktemp("base") / "base_models"
    pretraining.ensure(cache=cache, seed=0, num_examples=SMALL.num_corpus, on_progress=lambda *_: None)
    return cache


@pytest.fixture
def var(tmp_path: Path, base_models: Path) -> Iterator[Path]:
    """A folder of Hone's own that has the base model already."""
    shutil.copytree(base_models, tmp_path / "var" / "base_models")
    yield tmp_path / "var"
    assert processes(tmp_path / "var") == []


def test_a_demo_whose_parts_are_killed_ends_like_one_left_alone(var: Path, base_models: Path, tmp_path: Path) -> None:
    alone_var = tmp_path / "alone"
    shutil.copytree(base_models, alone_var / "base_models")
    with Command(*DEMO, var=alone_var) as alone, Command(*DEMO, var=var, HONE_RUN_STALE_S="3") as disturbed:
        kill_in_the_middle(disturbed)
        assert disturbed.wait(LONG_S) == 0, disturbed.said()
        assert alone.wait(LONG_S) == 0, alone.said()
        wait_for(lambda: processes(var) == processes(alone_var) == [], "the end of every process", 10.0)

    expected, found = Records(alone_var), Records(var)
    assert {"v0", "v1", "v2", "rm1", "rm2", "bon1", "bon2", "value1", "value2"} < set(expected.weights())
    assert found.weights() == expected.weights()
    # Each plan key is one run, which has succeeded; what counts of it are the rows of one attempt.
    assert set(found.states().values()) == {"succeeded"}
    assert steps(found) == steps(expected) >= {"sft", "reward/1", "ppo/1", "reward/2", "ppo/2"}
    assert found.attempts()["ppo/1"] > 1 and found.attempts()["reward/2"] > 1
    assert any(number > 1 for name, number in found.attempts().items() if name.endswith("/configured"))
    for table in ("rlhf_completion", "rlhf_verdict"):
        assert found.outputs(table) == expected.outputs(table) != {}
    # Every task has exactly the answers that it asked for, and they are those of the undisturbed demo.
    tasks = found.tasks()
    assert tasks == expected.tasks()
    assert all(state == "done" and overlap == counted == stored for *_, state, overlap, counted, stored in tasks)
    assert found.answers() == expected.answers()
    # And so are the numbers of every judge, on the last overview.
    shown = show(var)
    assert shown["is_quiet"] and shown["cells"] == show(alone_var)["cells"]
    points = {(point["version"], point["kind"]) for point in shown["points"]}
    assert points == {(version, kind) for version in ("v1", "v2") for kind in KINDS}


def steps(records: Records) -> set[str]:
    """Plan keys, without the estimates: how often the first ones are made depends on how fast people compare."""
    return {key for key in records.states() if not key.startswith(("freeze/verdicts/", "estimate/", "overview/"))}


def kill_in_the_middle(demo: Command) -> None:
    """The gpu worker within PPO, the child within a reward run, Valkey, the worker that waits for a language model."""
    records, var = Records(demo.var), demo.var
    wait_for(lambda: records.is_half_done("ppo", 1), "the middle of PPO", LONG_S)
    worker, orphan = gpu_worker(var), gpu_child(var)
    assert worker is not None and orphan is not None
    os.kill(worker.pid, signal.SIGKILL)
    wait_for(lambda: orphan.pid not in {process.pid for process in processes(var)}, "the end of the child", 10.0)

    wait_for(lambda: records.is_half_done("reward", 2), "the middle of the reward run", LONG_S)
    child = gpu_child(var)
    assert child is not None
    os.kill(child.pid, signal.SIGKILL)

    valkey = named(var, "valkey")[0]
    os.kill(valkey.pid, signal.SIGKILL)
    with silent_model(var) as model:
        wait_for(lambda: [p for p in named(var, "valkey") if p.pid != valkey.pid], "another Valkey", 30.0)
        kill_judging(var, model, LONG_S)


def test_a_demo_that_is_stopped_or_killed_leaves_no_process_and_goes_on_later(var: Path) -> None:
    for number, code in ((signal.SIGINT, 0), (signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL)):
        with Command(*DEMO, var=var) as demo:
            wait_for(lambda: gpu_child(var), "a run at work", LONG_S)
            os.kill(demo.process.pid, number)
            assert demo.wait(60.0) == code, demo.said()
            wait_for(lambda: processes(var) == [], "the end of every process", 10.0)
    records = Records(var)
    assert records.rows("SELECT COUNT(*) FROM rlhf_project") == [(1,)]
    assert "failed" not in records.states().values()
