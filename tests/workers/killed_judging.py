"""A worker that is killed while the demo's simulated language model has given part of its verdicts."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.services import ROOT
from tests.workers.processes import named, processes, wait_for
from tests.workers.records import Records

PULSE_S = 0.002
ARRIVAL_S = 0.3  # after which what was said is in the journal


def show(var: Path) -> dict[str, Any]:
    """What the newest document of a demo says, by names (tests/workers/demo_world.py)."""
    found: dict[str, Any] = json.loads(outside(var, "show"))
    return found


def outside(var: Path, what: str) -> bytes:
    environment = {**os.environ, "DATABASE_URL": "", "REDIS_URL": "", "HONE_VAR": str(var)}
    command = [sys.executable, "-m", "tests.workers.demo_world", what]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True).stdout


@contextlib.contextmanager
def silent_model(var: Path) -> Iterator[int]:
    """The language model says nothing meanwhile: it would be through before anybody has looked."""
    model = named(var, "demo.language_model")[0].pid
    os.kill(model, signal.SIGSTOP)
    try:
        yield model
    finally:
        os.kill(model, signal.SIGCONT)


def kill_in_the_middle(var: Path, model: int, timeout_s: float) -> int:
    """Kill the worker that waits for the silent model when part of the verdicts is in; the id of its run."""
    wait_for(lambda: _journal(var), "a language model's judging", timeout_s)
    run, num_pairs, num_answers = _journal(var) or (0, 0, 0)
    while num_answers == 0:
        os.kill(model, signal.SIGCONT)
        time.sleep(PULSE_S)
        os.kill(model, signal.SIGSTOP)
        time.sleep(ARRIVAL_S)
        run, num_pairs, num_answers = _journal(var) or (run, num_pairs, -1)
    assert 0 < num_answers < 2 * num_pairs, (num_answers, num_pairs)
    worker = next(each for each in named(var, "--queues network") if "celery" in each.command)
    os.kill(worker.pid, signal.SIGKILL)
    wait_for(lambda: worker.pid not in {each.pid for each in processes(var)}, "the end of the worker", 10.0)
    return run


def _journal(var: Path) -> tuple[int, int, int] | None:
    """Run id, number of pairs and answers so far of the language model's run that is at work."""
    query = """SELECT id, attempt, json_array_length(selection, '$.prompt_ids') FROM rlhf_run
        WHERE kind = 'judge' AND resource = 'network' AND state = 'running'"""
    found = Records(var).rows(query)
    if not found:
        return None
    run, attempt, num_pairs = found[0]
    path = var / "runs" / str(run) / str(attempt) / "journal.jsonl"
    return run, num_pairs, len(path.read_bytes().splitlines()) if path.exists() else 0
