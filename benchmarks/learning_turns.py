"""Runs the sides of a comparison in turn: all are warm, one at a time works, and none waits while another loads."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO


@dataclass
class Side:
    """A child process, its clock's words and its log."""

    name: str
    process: subprocess.Popen[str]
    words: TextIO
    log: Path

    def go(self) -> bool:
        """Give it a turn and wait for its end; False when it has ended."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write("go\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return False
        return bool(self.words.readline())

    def finish(self) -> None:
        """Let it run to its end. Raises SystemExit with the end of its log where it failed."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        code = self.process.wait()
        self.words.close()
        if code != 0:
            raise SystemExit(f"{self.log}: exit status {code}\n{self.log.read_text()[-1500:]}")


def start(name: str, command: Callable[[int], Sequence[str]], log: Path, environment: Mapping[str, str]) -> Side:
    """Start a side; `command` is told the file descriptor that its clock speaks to."""
    reading, writing = os.pipe()
    with log.open("w") as output:
        process = subprocess.Popen(
            command(writing),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            pass_fds=(writing,),
            env=dict(environment),
            text=True,
            cwd=Path(__file__).resolve().parents[1],
        )
    os.close(writing)
    return Side(name, process, os.fdopen(reading), log)


def take_turns(starters: Sequence[Callable[[], Side]], num_turns: int, together: bool) -> None:
    """`num_turns` turns of each side: turn about, or (together=False: where both would not fit) one after the other.

    Raises SystemExit with the end of its log where a side failed.
    """
    if not together:
        for starter in starters:
            take_turns([starter], num_turns, together=True)
        return
    sides = [starter() for starter in starters]
    try:
        ready = [bool(side.words.readline()) for side in sides]
        for number in range(num_turns if all(ready) else 0):
            went = [side.go() for side in (sides if number % 2 == 0 else sides[::-1])]
            if not all(went):
                break
        for side in sides:  # what is left (held-out quality) none of them measures: all at once
            assert side.process.stdin is not None
            side.process.stdin.close()
        for side in sides:
            side.finish()
    finally:
        for side in sides:
            side.process.kill()
