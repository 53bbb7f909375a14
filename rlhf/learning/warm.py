"""The warm starter's process: everything imported, nothing computed, one fork per run.

Importing torch and a model class costs seconds of CPU; a fork costs milliseconds. This process never runs a tensor
operation: neither OpenMP's threads nor CUDA survive a fork. Started by `rlhf.learning.starter`, which speaks to it
over an inherited socket, a JSON object a line.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import Any

import jinja2.ext
import pyarrow.compute
import torch._dynamo
from transformers.conversion_mapping import get_checkpoint_conversion_mapping
from transformers.models.gpt2 import modeling_gpt2
from transformers.models.llama import modeling_llama
from transformers.models.qwen2 import modeling_qwen2

from rlhf.learning import best_of_n, dpo, estimate, grpo, judge_by_reward, lifeline, ppo, reward, sampling, sft
from rlhf.learning.__main__ import main as run_stage

# What a run would import while somebody waits: stages, architectures, chat templates (jinja2), tables, and what the
# first AdamW asks for (torch._dynamo, over a second).
WARMED = (
    *(best_of_n, dpo, estimate, grpo, judge_by_reward, ppo, reward, sampling, sft),
    *(modeling_gpt2, modeling_llama, modeling_qwen2),
    *(jinja2.ext, pyarrow.compute, torch._dynamo),
)

_CHECK_S = 1.0  # how often to see whether the parent still lives, should both other ways have failed


class Server:
    """Forks runs and reports their ends."""

    def __init__(self, connection: socket.socket, parent_pid: int) -> None:
        self.connection = connection
        self.parent_pid = parent_pid
        self.children: set[int] = set()
        self.unread = b""
        self.life_reader, self.life_writer = os.pipe()  # the writing end stays here: children see its end
        self.wake_reader, self.wake_writer = os.pipe()
        os.set_blocking(self.wake_writer, False)
        signal.set_wakeup_fd(self.wake_writer)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> None:
        """Answer requests until the client is gone."""
        while os.getppid() == self.parent_pid:
            ready, _, _ = select.select([self.connection.fileno(), self.wake_reader], [], [], _CHECK_S)
            if self.wake_reader in ready:
                os.read(self.wake_reader, 4096)
            self.reap()
            if self.connection.fileno() in ready:
                received = self.connection.recv(65536)
                if not received:
                    return
                *lines, self.unread = (self.unread + received).split(b"\n")
                for line in lines:
                    self.answer(json.loads(line))

    def answer(self, request: dict[str, Any]) -> None:
        if "run" in request:
            self.send({"started": self.fork(request["run"], Path(request["folder"]))})
        elif request["pid"] in self.children:  # still ours, so the pid can't be another process's
            number = request["signal"]
            kill = os.killpg if number == signal.SIGKILL else os.kill
            kill(request["pid"], number)

    def fork(self, kind: str, folder: Path) -> int:
        pid = os.fork()
        if pid == 0:
            self.become_child(kind, folder)
        self.children.add(pid)
        return pid

    def become_child(self, kind: str, folder: Path) -> None:
        """Never returns."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.setsid()
            starter_pid = os.getppid()
            self.connection.close()
            for descriptor in (self.life_writer, self.wake_reader, self.wake_writer):
                os.close(descriptor)
            redirect(folder / "log.txt")
            lifeline.die_with(starter_pid)
            lifeline.watch(self.life_reader)
            code = run_stage([kind, str(folder)])
        except BaseException:  # the fork of a server must not run into the server's code
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def reap(self) -> None:
        for pid in list(self.children):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                self.children.remove(pid)
                self.send({"exited": pid, "code": os.waitstatus_to_exitcode(status)})

    def send(self, message: dict[str, Any]) -> None:
        self.connection.sendall(json.dumps(message).encode() + b"\n")


def redirect(log: Path) -> None:
    """Standard input from nowhere; output and errors to the end of `log`."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nowhere = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nowhere, 0), (descriptor, 1), (descriptor, 2)):
        os.dup2(source, target)


def main(arguments: list[str]) -> None:
    """Serve the client with pid `arguments[1]` on descriptor `arguments[0]`, and end with it."""
    parent_pid = int(arguments[1])
    lifeline.die_with(parent_pid)
    pyarrow.Table.from_pylist([{"a": 1}])  # looks for pandas, and imports it where there is one
    get_checkpoint_conversion_mapping("llama")  # compiles 900 regular expressions, once for all architectures
    gc.collect()
    gc.freeze()  # collections in children leave the imported pages shared
    with socket.socket(fileno=int(arguments[0])) as connection:
        Server(connection, parent_pid).serve()


if __name__ == "__main__":
    main(sys.argv[1:])
