"""Run a command that dies when its parent does: `python workers/tether.py PARENT_PID COMMAND ...`.

Run by its path: it must not import Hone, so that it costs milliseconds. The kernel's parent-death signal survives the
exec. It is SIGKILL, since whoever would have asked nicely is dead.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(parent_pid: int, command: list[str]) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent_pid and os.getppid() != parent_pid:
        raise SystemExit("tether: the parent has died already")
    os.execvp(command[0], command)  # noqa: S606 (a list, no shell)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
