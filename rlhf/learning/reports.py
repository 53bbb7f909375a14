"""Metric lines for TensorBoard and for Weights & Biases, beside metrics.jsonl, which stays the record.

TensorBoard's event file is written here: a record is a length, a message of three fields, and a checksum behind each,
which is less than what its package would bring along. It is made from metrics.jsonl anew when a run is resumed, so no
point stands in it twice. wandb is imported where it is asked for; a resumed run goes on under its id, and wandb itself
drops the steps that it has.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
import struct
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from rlhf.learning.configs import ConfigError

FOLDER = "tensorboard"
_VERSION = b"brain.Event:2"
_POLYNOMIAL = 0x82F63B78  # Castagnoli's, reflected


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
        (folder / FOLDER).mkdir(exist_ok=True)
        for old in (folder / FOLDER).glob("events.out.tfevents.*"):
            old.unlink()
        self._file = (folder / FOLDER / f"events.out.tfevents.{int(time.time())}.hone").open("wb")
        self._file.write(record(_double(1, time.time()) + _bytes(3, _VERSION)))
        for line in (folder / "metrics.jsonl").read_text().splitlines():
            self.add(json.loads(line))

    def add(self, line: Mapping[str, Any]) -> None:
        values = [_bytes(1, tag.encode()) + _float(2, number) for tag, number in numbers_of(line).items()]
        summary = b"".join(_bytes(1, value) for value in values)
        self._file.write(record(_double(1, line["time"]) + _integer(2, line["step"]) + _bytes(5, summary)))
        self._file.flush()

    def close(self) -> None:
        self._file.close()


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


def record(data: bytes) -> bytes:
    """A TFRecord: length (uint64), its checksum, data, its checksum; little-endian."""
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked(crc32c(length))) + data + struct.pack("<I", masked(crc32c(data)))


def masked(checksum: int) -> int:
    """TFRecord's mask, so that a checksum of data with checksums inside is a good one."""
    return (((checksum >> 15) | (checksum << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def crc32c(data: bytes) -> int:
    found = 0xFFFFFFFF
    for byte in data:
        found = _TABLE[(found ^ byte) & 0xFF] ^ (found >> 8)
    return found ^ 0xFFFFFFFF


def _table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (_POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _table()


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _integer(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _double(field: int, value: float) -> bytes:
    return _varint(field << 3 | 1) + struct.pack("<d", value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _float(field: int, value: float) -> bytes:
    return _varint(field << 3 | 5) + struct.pack("<f", value)
