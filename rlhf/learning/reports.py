"""Metric lines for TensorBoard and for Weights & Biases, beside metrics.jsonl, which stays the record.

TensorBoard's event file is made from metrics.jsonl anew when a run is resumed, so no point stands in it twice. wandb is
no part of Hone and must be installed beside it; a resumed run goes on under its id, and wandb itself drops the steps
that it has. Both are imported where they are asked for: a run that asks for neither starts sooner.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from rlhf.learning.configs import ConfigError

FOLDER = "tensorboard"
FLUSH_S = 5


def require(report_to: Sequence[str]) -> None:
    """Raise ConfigError for what isn't installed."""
    if "wandb" in report_to and importlib.util.find_spec("wandb") is None:
        raise ConfigError("engine.report_to: found wandb, expected its package beside Hone; pip install wandb")


class Place(Protocol):
    """Somewhere that metric lines go to."""

    def add(self, line: Mapping[str, Any]) -> None: ...

    def close(self) -> None: ...


class Reports:
    """Every place of `engine.report_to`, opened by the first line."""

    def __init__(self, folder: Path, report_to: Sequence[str]) -> None:
        self._folder, self._report_to = folder, report_to
        self._places: list[Place] | None = None

    def add(self, line: Mapping[str, Any]) -> None:
        """Pass a line on; it must be in metrics.jsonl already."""
        if self._places is None:
            self._places = [_PLACES[name](self._folder, line) for name in self._report_to]
            return
        for place in self._places:
            place.add(line)

    def close(self) -> None:
        for place in self._places or ():
            place.close()


def numbers_of(line: Mapping[str, Any]) -> dict[str, float]:
    """What can be drawn, as phase/name."""
    skipped = {"step", "total_steps", "time"}
    return {
        f"{line['phase']}/{name}": float(value)
        for name, value in line.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and name not in skipped
    }


class TensorBoard:
    """One event file in FOLDER, with the lines of metrics.jsonl so far."""

    def __init__(self, folder: Path, _: Mapping[str, Any]) -> None:
        shutil.rmtree(folder / FOLDER, ignore_errors=True)
        writer = importlib.import_module("tensorboardX").SummaryWriter
        self._writer = writer(str(folder / FOLDER), flush_secs=FLUSH_S)
        for line in (folder / "metrics.jsonl").read_text().splitlines():
            self.add(json.loads(line))

    def add(self, line: Mapping[str, Any]) -> None:
        for tag, number in numbers_of(line).items():
            self._writer.add_scalar(tag, number, line["step"], walltime=line["time"])

    def close(self) -> None:
        self._writer.close()


class WandB:
    """A run of Weights & Biases; project, name and key come from its own environment variables."""

    def __init__(self, folder: Path, line: Mapping[str, Any]) -> None:
        with (folder / "metrics.jsonl").open("rb") as file:
            first = file.readline()  # with its time: the same for every start in this folder, and for no other run
        wandb = importlib.import_module("wandb")
        self._run = wandb.init(id=hashlib.sha256(first).hexdigest()[:16], resume="allow", dir=str(folder))
        self.add(line)

    def add(self, line: Mapping[str, Any]) -> None:
        self._run.log(numbers_of(line), step=line["step"])

    def close(self) -> None:
        self._run.finish()


_PLACES: dict[str, type[TensorBoard] | type[WandB]] = {"tensorboard": TensorBoard, "wandb": WandB}
