"""A demo left alone, and one that is stopped, killed, and has its parts killed; both go on to their end."""

from __future__ import annotations

import os
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

from annotate.management.demo import pretraining
from annotate.management.demo.recipe import SMALL
from tests.workers.killed_judging import kill_in_the_middle as kill_judging
from tests.workers.killed_judging import silent_model
from tests.workers.processes import Command, gpu_child, gpu_worker, named, processes, wait_for
from tests.workers.records import Records

DEMO = ("demo", "--size", "small", "--rounds", "2")
LONG_S = 400.0  # for a machine that has much else to do
STALE_S = "3"


@dataclass(frozen=True)
class Demos:
    """Their folders; how they ended, -9 for a kill; no process is left of any."""

    alone: Path
    disturbed: Path
    codes_when_stopped: dict[signal.Signals, int]
    codes: tuple[int, int]


def run_both(folder: Path) -> Demos:
    alone, disturbed = folder / "alone", folder / "disturbed"
    cache = alone / "base_models"
    pretraining.ensure(cache=cache, seed=0, num_examples=SMALL.num_corpus, on_progress=lambda *_: None)
    shutil.copytree(cache, disturbed / "base_models")
    with Command(*DEMO, "--exit", var=alone) as undisturbed:
        stopped = {
            number: _stop_at_work(disturbed, number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
        }
        with Command(*DEMO, "--exit", var=disturbed, HONE_RUN_STALE_S=STALE_S) as goes_on:
            _kill_parts(goes_on)
            codes = undisturbed.wait(LONG_S), goes_on.wait(LONG_S)
            assert codes == (0, 0), undisturbed.said() + goes_on.said()
            wait_for(lambda: processes(alone) == processes(disturbed) == [], "the end of every process", 10.0)
    return Demos(alone, disturbed, stopped, codes)


def _stop_at_work(var: Path, number: signal.Signals) -> int:
    with Command(*DEMO, "--exit", var=var, HONE_RUN_STALE_S=STALE_S) as demo:
        wait_for(lambda: gpu_child(var), "a run at work", LONG_S)
        os.kill(demo.process.pid, number)
        code = demo.wait(60.0)
        wait_for(lambda: processes(var) == [], "the end of every process", 10.0)
    return code


def _kill_parts(demo: Command) -> None:
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
