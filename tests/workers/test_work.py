"""`manage.py work`: killed in the middle of a run and started again, it ends with the weights of a run left alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.services import ROOT

STALE_S = 1.0


def test_a_killed_worker_is_made_up_for_with_the_same_weights(
    database_url: str, llama_path: Path, tmp_path: Path
) -> None:
    environment = {
        **os.environ, "DATABASE_URL": database_url, "HONE_VAR": str(tmp_path / "hone"),
        "HONE_RUN_STALE_S": str(STALE_S), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    python(environment, "-m", "tests.workers.small", "make", str(llama_path))

    child = kill_in_the_middle(environment, tmp_path)
    wait_for_end(child)
    time.sleep(STALE_S)  # nobody takes a run whose worker has just beaten
    python(environment, "manage.py", "work")

    found = json.loads(python(environment, "-m", "tests.workers.small", "show"))
    alone, disturbed = found["alone"], found["disturbed"]
    assert (alone["state"], alone["attempt"]) == ("succeeded", 1)
    assert (disturbed["state"], disturbed["attempt"]) == ("succeeded", 2)
    assert disturbed["weights"] == alone["weights"]
    assert disturbed["steps"] == alone["steps"]


def kill_in_the_middle(environment: dict[str, str], tmp_path: Path) -> int:
    """Kill the worker once its second run has written a checkpoint; the pid of that run's child."""
    with (tmp_path / "work.log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "manage.py", "work"], cwd=ROOT, env=environment, stdout=log, stderr=log
        )
    deadline = time.monotonic() + 120
    runs = tmp_path / "hone" / "runs"
    while len(list(runs.glob("*/1/checkpoint/LATEST"))) < 2:
        assert time.monotonic() < deadline and worker.poll() is None, (tmp_path / "work.log").read_text()
        time.sleep(0.005)
    [warm] = children(worker.pid)
    [child] = children(warm)
    worker.kill()
    worker.wait()
    return child


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_for_end(pid: int) -> None:
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline, f"the child {pid} outlives its worker"
        time.sleep(0.01)


def python(environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2_000:]
    return done.stdout
