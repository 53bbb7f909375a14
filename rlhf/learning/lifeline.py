"""No process outlives the one that it works for: not after kill -9, not by a minute.

Two ways, because each has a gap: the kernel's parent-death signal (Linux; it follows the thread that forked), and
end-of-file on an inherited pipe whose writing end only the parent holds. Torch-free.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from typing import NoReturn

ENVIRONMENT = "RLHF_LIFELINE"  # the pipe's descriptor, for a child that is started cold
_PR_SET_PDEATHSIG = 1


def die_with(parent_pid: int) -> None:
    """Be killed when the parent dies; die now if it already has."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os._exit(1)


def leave(code: int) -> NoReturn:
    """End this process of several as it is, without the interpreter's teardown: there a thread of the process group
    that still ran has ended a run that was done by SIGABRT, and torchrun then calls all of it failed."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def watch(descriptor: int) -> None:
    """Kill this process's whole group once the pipe is at its end. For a process that leads its own group."""
    threading.Thread(target=_wait_for_end, args=(descriptor,), daemon=True, name="lifeline").start()


def _wait_for_end(descriptor: int) -> None:
    while os.read(descriptor, 1):
        pass
    os.killpg(os.getpgid(0), signal.SIGKILL)
