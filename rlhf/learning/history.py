"""What a run of PPO, GRPO or RLOO remembers of its iterations, and the alarms that it has told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rlhf.learning.alarms import check
from rlhf.learning.loop import Run

_REMEMBERED = 8  # iterations that alarms look back on, besides the first and the newest: a young value model's ten


class History:
    """Metrics of the first and the newest iterations, oldest first, and names of alarms; it belongs to checkpoints."""

    def __init__(self, state: Mapping[str, Any]) -> None:
        """state: what `Run.resume` gave back."""
        self.lines: list[dict[str, float]] = list(state.get("history", []))
        self.alarms: list[str] = list(state.get("alarms", []))

    @property
    def state(self) -> dict[str, Any]:
        """JSON values for `Run.end_step`."""
        return {"history": self.lines, "alarms": self.alarms}

    @property
    def result(self) -> dict[str, float]:
        """The newest iteration's metrics, with the number of alarms."""
        return self.lines[-1] | {"num_alarms": len(self.alarms)}

    def add(self, run: Run, metrics: dict[str, float]) -> None:
        """Remember an iteration before its `end_step`, and log each of its alarms that the run hasn't told yet."""
        self.lines = [*self.lines[:1], *self.lines[1:][-_REMEMBERED:], metrics]
        for alarm in check(self.lines):
            if alarm.name not in self.alarms:
                # A line of the iteration under way: a run that is resumed before its end tells it again.
                run.log("alarm", {"step": run.step + 1, "alarm": alarm.name, "message": str(alarm)})
                self.alarms.append(alarm.name)
