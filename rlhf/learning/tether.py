"""Run a command that dies when its parent does: `python rlhf/learning/tether.py PARENT COMMAND ...`.

PARENT is a process id, or the file that holds it. Run by its path: it imports nothing of ours, so that it costs
milliseconds, and the command is tethered before it has loaded anything. The kernel's parent-death signal survives the
exec. It is SIGKILL, since whoever would have asked nicely is dead.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1


def main(parent: str, command: list[str]) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent if parent.isdigit() else Path(parent).read_text()):
        raise SystemExit("tether: the parent has died already")
    os.execvp(command[0], command)  # noqa: S606 (a list, no shell)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
