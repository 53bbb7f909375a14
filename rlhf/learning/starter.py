"""Starts runs as child processes that end when their starter does. Imports no torch: a worker can afford it.

Warm, a process that has imported everything forks one child per run (`rlhf.learning.warm`), so that a run begins in
milliseconds; cold, each run is a Python of its own. Either way the child's output goes to FOLDER/log.txt, it leads a
session of its own, and it dies with the process that started it, even on kill -9.

Call `run` from a thread that lives as long as the runs (the main thread): the kernel's parent-death signal follows
the thread, not the process.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from rlhf.learning import lifeline

_ROOT = Path(__file__).resolve().parents[2]
_START_TIMEOUT_S = 180.0  # importing torch on a busy machine
_POLL_S = 0.02


class StarterDied(RuntimeError):
    """The warm process ended before it started a run; the next `run` starts a new one."""


@dataclass(frozen=True)
class Child:
    """A run that was started: what a worker watches."""

    pid: int
    _poll: Callable[[], int | None]
    _signal: Callable[[int], None]

    def poll(self) -> int | None:
        """None while it runs; then its exit code, or minus the signal that ended it."""
        return self._poll()

    def terminate(self) -> None:
        """Ask it to write a checkpoint and stop (SIGTERM); nothing if it has ended."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it and its whole process group now (SIGKILL); nothing if it has ended."""
        self._signal(signal.SIGKILL)

    def wait(self, timeout_s: float) -> int:
        """Its exit code once it has ended. Raises TimeoutError if it hasn't by then."""
        deadline = time.monotonic() + timeout_s
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"process {self.pid} still runs after {timeout_s} s")
            time.sleep(_POLL_S)
        return code


@dataclass
class _Warm:
    """The client's end of one warm process."""

    process: subprocess.Popen[bytes]
    connection: socket.socket
    owner_pid: int
    unread: bytes = b""
    gone: bool = False
    started: list[int] = field(default_factory=list)  # pids not yet handed out
    codes: dict[int, int] = field(default_factory=dict)


class Starter:
    """Starts runs, warm or cold. Safe to use from several threads, see above."""

    def __init__(self, *, warm: bool = True) -> None:
        self.warm = warm
        self._lock = threading.RLock()
        self._server: _Warm | None = None
        self._pipe: tuple[int, int] | None = None  # the lifeline of cold children

    def __enter__(self) -> Starter:
        self.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def start(self) -> None:
        """Begin to warm up and return at once; `run` waits until it is done. Nothing to do when cold."""
        with self._lock:
            if self.warm:
                self._ensure_server()

    def run(self, *, kind: str, folder: Path) -> Child:
        """Start a run.

        Raises:
            StarterDied: the warm process ended, or did not get ready.
        """
        with self._lock:
            return self._run_warm(kind, folder.absolute()) if self.warm else self._run_cold(kind, folder.absolute())

    def close(self) -> None:
        """End the warm process, and with it every run that still goes on."""
        with self._lock:
            if self._server is not None and self._server.owner_pid == os.getpid():
                self._server.connection.close()
                self._server.process.kill()
                self._server.process.wait()
            self._server = None
            if self._pipe is not None:
                for descriptor in self._pipe:
                    os.close(descriptor)
            self._pipe = None

    def _ensure_server(self) -> _Warm:
        server = self._server
        if server is None or server.gone or server.process.poll() is not None or server.owner_pid != os.getpid():
            server = self._server = _spawn_server()
        return server

    def _run_warm(self, kind: str, folder: Path) -> Child:
        server = self._ensure_server()
        _send(server, {"run": kind, "folder": str(folder)})
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not server.started:
            _receive(server, timeout_s=1.0)
            if server.gone or time.monotonic() > deadline:
                raise StarterDied(f"found no warm process after asking it for {kind}, expected one; see standard error")
        pid = server.started.pop(0)
        return Child(pid, lambda: self._poll_warm(server, pid), lambda number: self._signal_warm(server, pid, number))

    def _poll_warm(self, server: _Warm, pid: int) -> int | None:
        with self._lock:
            if pid not in server.codes and not server.gone:
                _receive(server, timeout_s=0.0)
            # A child whose warm process is gone has been killed with it.
            return server.codes.get(pid, -signal.SIGKILL if server.gone else None)

    def _signal_warm(self, server: _Warm, pid: int, number: int) -> None:
        with self._lock:
            if pid not in server.codes and not server.gone:
                _send(server, {"signal": int(number), "pid": pid})

    def _run_cold(self, kind: str, folder: Path) -> Child:
        if self._pipe is None:
            self._pipe = os.pipe()
        with (folder / "log.txt").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "rlhf.learning", kind, str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=self._pipe[:1],
                env=_environment() | {lifeline.ENVIRONMENT: str(self._pipe[0])},
            )
        return Child(process.pid, process.poll, lambda number: _signal_cold(process, number))


def _spawn_server() -> _Warm:
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "rlhf.learning.warm", str(theirs.fileno()), str(os.getpid())],
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in a terminal is for the worker to act on
            pass_fds=[theirs.fileno()],
            env=_environment(),
        )
    return _Warm(process=process, connection=ours, owner_pid=os.getpid())


def _environment() -> dict[str, str]:
    path = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    # Passive: idle OpenMP threads sleep instead of burning the core that another run needs.
    return {"OMP_WAIT_POLICY": "passive"} | os.environ | {"PYTHONPATH": path}


def _send(server: _Warm, message: dict[str, str | int]) -> None:
    try:
        server.connection.sendall(json.dumps(message).encode() + b"\n")
    except OSError:
        server.gone = True


def _receive(server: _Warm, timeout_s: float) -> None:
    """Take in what the warm process has said, waiting up to `timeout_s` for the first word."""
    server.connection.settimeout(timeout_s)
    try:
        received = server.connection.recv(65536)
    except (BlockingIOError, TimeoutError):
        return
    except OSError:
        received = b""
    finally:
        with contextlib.suppress(OSError):
            server.connection.settimeout(None)
    if not received:
        server.gone = True
        return
    *lines, server.unread = (server.unread + received).split(b"\n")
    for line in lines:
        message = json.loads(line)
        if "started" in message:
            server.started.append(message["started"])
        else:
            server.codes[message["exited"]] = message["code"]


def _signal_cold(process: subprocess.Popen[bytes], number: int) -> None:
    if process.poll() is None:
        kill = os.killpg if number == signal.SIGKILL else os.kill
        with contextlib.suppress(ProcessLookupError):
            kill(process.pid, number)
