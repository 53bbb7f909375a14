"""Checkpoints of a run folder: there whole, or not there. Torch-free, so that a worker can copy and check them.

`checkpoint/N/` is written under a temporary name, fsynced and renamed; `checkpoint/LATEST` names the newest by
os.replace; two are kept. A checkpoint is valid if every file has the hash that its manifest says.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from rlhf.learning.tables import sha256

MANIFEST = "manifest.json"
MACHINE = "machine.json"  # in the run folder: where this start runs, as checkpoints record it
_KEPT = 2


class Stopped(BaseException):
    """SIGTERM arrived; what was done up to the last finished step lies in a checkpoint.

    No Exception: it is raised anywhere, and who loads a model must not take it for a broken one.
    """


@dataclass(frozen=True)
class Checkpoint:
    """A valid checkpoint on disk."""

    path: Path
    step: int
    environment: dict[str, str]


def write(folder: Path, step: int, write_files: Callable[[Path], None], environment: dict[str, str]) -> None:
    """Write `folder`/checkpoint/`step`, point LATEST at it, and delete all but the newest two.

    Args:
        folder: the run folder.
        write_files: called with the directory to fill; what it leaves there is the checkpoint.
        environment: what exact resume depends on, see `environment_of`.
    """
    root = folder / "checkpoint"
    temporary, final = root / f"{step}.part", root / str(step)
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    write_files(temporary)
    hashes = {path.name: sha256(path) for path in sorted(temporary.iterdir())}
    manifest = {"step": step, "environment": environment, "files": hashes}
    (temporary / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True))
    for path in temporary.iterdir():
        _fsync(path)
    _fsync(temporary)
    shutil.rmtree(final, ignore_errors=True)
    temporary.rename(final)
    replace_text(root / "LATEST", str(step))
    for old in _steps(root)[:-_KEPT]:
        shutil.rmtree(root / str(old), ignore_errors=True)


def newest_valid(folder: Path) -> Checkpoint | None:
    """The valid checkpoint with the highest step of a run folder; None where there is none."""
    root = folder / "checkpoint"
    for step in reversed(_steps(root)):
        manifest = _valid_manifest(root / str(step))
        if manifest is not None:
            return Checkpoint(root / str(step), step, manifest["environment"])
    return None


def cut_metrics(folder: Path, step: int) -> None:
    """Drop the lines of metrics.jsonl after `step`, and a last line that a crash left half written."""
    path = folder / "metrics.jsonl"
    if not path.exists():
        return
    kept = []
    for line in path.read_text().splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except json.JSONDecodeError:
            continue
    replace_text(path, "".join(kept))


def environment_of(num_threads: int, device: str, num_processes: int = 1) -> dict[str, str]:
    """What must be equal for a run to resume exactly: versions, threads, processor, device, processes."""
    return {
        "python": platform.python_version(),
        "torch": metadata.version("torch"),
        "transformers": metadata.version("transformers"),
        "num_threads": str(num_threads),
        "processor": _processor(),
        "device": device,
        "num_processes": str(num_processes),
    }


def differences(then: dict[str, str], now: dict[str, str]) -> list[str]:
    """One phrase for each thing that is no longer as it was when the checkpoint was written."""
    names = sorted(then.keys() | now.keys())
    return [f"{name} was {then.get(name)}, is {now.get(name)}" for name in names if then.get(name) != now.get(name)]


def replace_text(path: Path, text: str) -> None:
    """Write a small file under a temporary name, fsync it, and rename it into place."""
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(text)
    _fsync(temporary)
    os.replace(temporary, path)
    _fsync(path.parent)


def _steps(root: Path) -> list[int]:
    return sorted(int(p.name) for p in root.iterdir() if p.name.isdigit()) if root.is_dir() else []


def _valid_manifest(path: Path) -> dict[str, Any] | None:
    try:
        manifest: dict[str, Any] = json.loads((path / MANIFEST).read_text())
        if all(sha256(path / name) == digest for name, digest in manifest["files"].items()):
            return manifest
    except (OSError, json.JSONDecodeError, KeyError, AttributeError, TypeError):
        pass  # a damaged checkpoint is the answer "not valid"; the one before it is tried
    return None


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
