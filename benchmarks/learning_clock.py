"""The clock of one side of a benchmark: it measures in turns, so that every side meets the same machine.

A shared machine is at times half as fast as a moment before. After its warm-up a side says "ready" and waits; each
"go" on its standard input is leave for one turn of a few steps, and between turns it sleeps while the others have
theirs. When its input is closed nothing is measured any more, and it runs to its end. Standard library only: the peers'
environments use it too.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any

Job = dict[str, Any]


def yardstick_ms() -> float:
    """Processor time of a loop that never changes: what the machine gives at this moment."""
    started, total = time.process_time(), 0
    for number in range(200_000):
        total += number * number
    return 1e3 * (time.process_time() - started)


class Clock:
    """Turns of `steps_per_turn` steps each, in seconds of processor and wall a step."""

    def __init__(self, job: Job, synchronise: Callable[[], None] | None = None) -> None:
        """Args:
        synchronise: waits for what a device still has to do.
        """
        self.num_warmup, self.steps_per_turn = job["num_warmup"], job["steps_per_turn"]
        self.synchronise = synchronise
        self.turns: list[dict[str, float]] = []
        self.num_steps = 0
        self._parent = os.fdopen(job["turn_fd"], "w", buffering=1)
        self._began: tuple[float, float, float] | None = None  # yardstick, processor, wall
        self._done = False

    def mark(self) -> None:
        """The end of a step."""
        self.num_steps += 1
        steps = self.num_steps - self.num_warmup
        if self._done or steps < 0 or steps % self.steps_per_turn:
            return
        if self.synchronise is not None:
            self.synchronise()
        if self._began is not None:
            yardstick, cpu, wall = self._began
            spent = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}
            self.turns.append(
                {name: value / self.steps_per_turn for name, value in spent.items()} | {"yardstick_ms": yardstick}
            )
        self._wait()

    def _wait(self) -> None:
        print("turn" if self.turns else "ready", file=self._parent)
        if not sys.stdin.readline():
            self._done = True
            return
        self._began = yardstick_ms(), time.process_time(), time.perf_counter()
