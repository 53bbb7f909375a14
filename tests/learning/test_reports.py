"""Metric lines in TensorBoard's format and in wandb: every point once, also when a run stops and goes on."""

from __future__ import annotations

import json
import os
import signal
import struct
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tensorboardX.proto.event_pb2 import Event

from rlhf.learning import loop, reports, sft
from rlhf.learning.checkpoint import Stopped
from rlhf.learning.configs import ConfigError, EngineConfig, from_dict
from tests.learning.test_sft import config as sft_config
from tests.learning.test_sft import metrics


def _points(folder: Path, tag: str) -> list[tuple[int, float, float]]:
    """(step, wall time, value) of one tag in the only event file, record by record: length, checksum, message,
    checksum."""
    (file,) = (folder / reports.FOLDER).glob("*tfevents*")
    data, place, found = file.read_bytes(), 0, []
    while place < len(data):
        (length,) = struct.unpack_from("<Q", data, place)
        event = Event.FromString(data[place + 12 : place + 12 + length])
        found += [(event.step, event.wall_time, one.simple_value) for one in event.summary.value if one.tag == tag]
        place += 16 + length
    return found


def test_a_line_is_a_point_of_each_number_at_its_own_time(tmp_path: Path) -> None:
    line = {"step": 300, "total_steps": 301, "time": 1.5, "phase": "train", "loss": 0.25, "note": "x", "done": True}
    (tmp_path / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    reports.TensorBoard(tmp_path, line).close()
    assert _points(tmp_path, "train/loss") == [(300, 1.5, 0.25)]
    assert reports.numbers_of(line) == {"train/loss": 0.25}


def _stopped_and_resumed(folder: Path, path: Path, monkeypatch: pytest.MonkeyPatch, report_to: tuple[str, ...]) -> None:
    """A run that SIGTERM stops behind its third step, one that dies behind its fifth, and one that ends."""
    config = sft_config(path, engine=EngineConfig(checkpoint_every=2, report_to=report_to))  # type: ignore[arg-type]
    apply = loop.Learner.apply

    def stop(learner: loop.Learner, row_ids: Any = ()) -> float:
        if learner.step == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return apply(learner, row_ids)

    def die(learner: loop.Learner, row_ids: Any = ()) -> float:
        if learner.step == 5:
            raise KeyboardInterrupt
        return apply(learner, row_ids)

    for hand, expected in ((stop, Stopped), (die, KeyboardInterrupt)):
        with monkeypatch.context() as patch, pytest.raises(expected):
            patch.setattr(loop.Learner, "apply", hand)
            sft.run(folder, config)
    sft.run(folder, config)


def test_a_resumed_run_has_every_point_once_in_tensorboard(
    llama_path: Path, demonstrations: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = demonstrations()
    _stopped_and_resumed(folder, llama_path, monkeypatch, ("tensorboard",))
    lines = [(line["step"], line["time"], pytest.approx(line["loss"])) for line in metrics(folder)]
    assert _points(folder, "train/loss") == lines and len(lines) == 6
    plain = demonstrations("plain")
    sft.run(plain, sft_config(llama_path))
    assert not (plain / reports.FOLDER).exists()


class _WandB(types.ModuleType):
    """The part of wandb that is called, with its rule that a step which is there already is dropped."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.__spec__ = types.SimpleNamespace()  # type: ignore[assignment]
        self.runs: dict[str, dict[int, dict[str, float]]] = {}
        self.finished: list[str] = []

    def init(self, *, id: str, resume: str, dir: str) -> _WandB._Run:
        assert resume == "allow" and Path(dir).is_dir()
        return self._Run(self, id)

    class _Run:
        def __init__(self, parent: _WandB, run_id: str) -> None:
            self.parent, self.run_id = parent, run_id
            self.points = parent.runs.setdefault(run_id, {})
            self.first = max(self.points, default=-1) + 1

        def log(self, numbers: dict[str, float], step: int) -> None:
            if step >= self.first:
                self.points.setdefault(step, {}).update(numbers)

        def finish(self) -> None:
            self.parent.finished.append(self.run_id)


def test_a_resumed_run_goes_on_under_its_id_in_wandb(
    llama_path: Path, demonstrations: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb = _WandB()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    folder = demonstrations()
    _stopped_and_resumed(folder, llama_path, monkeypatch, ("wandb",))
    ((run_id, points),) = wandb.runs.items()
    losses = {step: numbers["train/loss"] for step, numbers in points.items() if "train/loss" in numbers}
    assert losses == {line["step"]: line["loss"] for line in metrics(folder)} and len(losses) == 6
    assert wandb.finished == [run_id]


def test_a_package_that_is_missing_is_named_before_anything_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"engine\.report_to: found wandb, expected its package"):
        loop.set_up(EngineConfig(report_to=("wandb",)))
    with pytest.raises(ConfigError, match=r"sft\.engine\.report_to\[0\]: expected one of \['tensorboard', 'wandb'\]"):
        from_dict("sft", {"model": "m", "engine": {"report_to": ["mlflow"]}})
