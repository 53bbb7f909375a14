"""Processes of a Hone that lives in a folder of its own, found by the HONE_VAR in their environment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from config.environment import socket_folder
from tests.services import ROOT, free_port


@dataclass(frozen=True)
class Process:
    pid: int
    parent: int
    command: str


def processes(var: Path) -> list[Process]:
    """Everything that runs with this HONE_VAR, zombies left out."""
    found = [_process(int(entry.name), var) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [process for process in found if process is not None]


def _process(pid: int, var: Path) -> Process | None:
    folder = Path("/proc") / str(pid)
    try:
        named_so = f"HONE_VAR={var}".encode() in (folder / "environ").read_bytes().split(b"\0")
        # Valkey writes its title over its environment, but it lives where its socket is.
        if not named_so and (folder / "cwd").readlink() != socket_folder(var):
            return None
        command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:  # it has ended meanwhile, or is somebody else's
        return None
    return None if state == "Z" else Process(pid, int(parent), command)


def named(var: Path, words: str) -> list[Process]:
    return [process for process in processes(var) if words in process.command]


def gpu_worker(var: Path) -> Process | None:
    """The Celery process of `gpu`, not its children."""
    return next((process for process in named(var, "--queues gpu") if "celery" in process.command), None)


def gpu_child(var: Path) -> Process | None:
    """The run that the gpu worker's warm process has forked."""
    found, worker = processes(var), gpu_worker(var)
    warm = {each.pid for each in found if "rlhf.learning.warm" in each.command and worker and each.parent == worker.pid}
    return next((each for each in found if each.parent in warm), None)


def wait_for(condition: Callable[[], object], what: str, timeout_s: float = 120.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s} s in vain for {what}"
        time.sleep(0.05)  # dear: most conditions read /proc


class Command:
    """`manage.py` in a process of its own, in its own HONE_VAR; killed, with all that it started, at the end."""

    def __init__(self, *arguments: str, var: Path, **environment: str) -> None:
        self.var = var
        self.log = var / "command.log"
        var.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", *arguments, "--port", str(self.port)],
                cwd=ROOT,
                env={**os.environ, "DATABASE_URL": "", "REDIS_URL": "", **environment, "HONE_VAR": str(var)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> Command:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for process in processes(self.var):  # a failed test leaves no orphan either
            with_pid(process.pid, signal.SIGKILL)

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def wait(self, timeout_s: float) -> int:
        return self.process.wait(timeout_s)


def with_pid(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
