"""The demo's base model: made once per recipe by the project's own SFT code, then found again by the recipe's hash.

Needs no torch: the weights are made and trained by a child process. A half-made model is never found.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from annotate.management.demo import grammar, recipe
from rlhf.learning import tables, tether

ROOT = Path(__file__).resolve().parents[3]
_POLL_S = 0.2

Row = dict[str, Any]


class PretrainingFailed(RuntimeError):
    """A child process that ended badly; the message holds what it said last."""


def ensure(*, cache: Path, seed: int, num_examples: int, on_progress: Callable[[int, int], None]) -> Path:
    """Folder of the pre-trained model for this seed; made in about half a minute unless the cache has it.

    `on_progress(step, total_steps)` is called as training goes on.

    Raises:
        PretrainingFailed: the child process failed; the cache is as before.
    """
    rows = corpus_rows(seed=seed, num_examples=num_examples)
    folder = cache / fingerprint(seed=seed, rows=rows)
    if folder.exists():
        return folder
    work = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(work, ignore_errors=True)
    _write_inputs(work, seed=seed, rows=rows)
    _wait(_start(work, seed=seed), work, on_progress)
    (work / "model").rename(folder)
    shutil.rmtree(work)
    return folder


def corpus_rows(*, seed: int, num_examples: int) -> list[Row]:
    """The mixed-quality corpus, in the columns of data/demonstrations.parquet."""
    rows = []
    for index in range(num_examples):
        request, text = grammar.corpus_example(seed=seed, index=index)
        rows.append(
            {
                "demonstration_id": index,
                "prompt_id": index,
                "prompt": request.messages,
                "completion": text,
                "labeler": "corpus",
                "split": "train",
            }
        )
    return rows


def fingerprint(*, seed: int, rows: list[Row]) -> str:
    """Hash of everything that the weights depend on: corpus, architecture, hyper-parameters, versions."""
    digest = hashlib.sha256()
    digest.update(json.dumps([(row["prompt"], row["completion"]) for row in rows]).encode())
    digest.update(json.dumps(recipe.pretraining(seed=seed), sort_keys=True).encode())
    digest.update(Path(__file__).with_name("base_model.py").read_bytes())
    for package in ("torch", "transformers", "tokenizers"):
        digest.update(importlib.metadata.version(package).encode())
    return digest.hexdigest()[:16]


def _write_inputs(work: Path, *, seed: int, rows: list[Row]) -> None:
    (work / "data").mkdir(parents=True)
    tables.write_table(work / "data" / "demonstrations.parquet", tables.DEMONSTRATIONS, rows)
    config = recipe.pretraining(seed=seed) | {"model": str(work / "base")}
    (work / "config.json").write_text(json.dumps(config, indent=1))


def _start(work: Path, *, seed: int) -> subprocess.Popen[bytes]:
    """Start the child; what it says goes to a file, since nobody reads a pipe while it works."""
    # Tethered: it must not outlive this process, not even while it imports torch.
    tethered = [sys.executable, tether.__file__, str(os.getpid())]
    command = [*tethered, sys.executable, "-m", f"{__package__}.base_model", str(seed), str(work)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    with (work / "log.txt").open("wb") as log:
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)


def _wait(child: subprocess.Popen[bytes], work: Path, on_progress: Callable[[int, int], None]) -> None:
    try:
        while child.poll() is None:
            time.sleep(_POLL_S)
            _report(work / "metrics.jsonl", on_progress)
    finally:
        if child.poll() is None:  # interrupted: leave no process behind
            child.terminate()
            child.wait()
    if child.returncode != 0:
        said = (work / "log.txt").read_text(errors="replace").strip().splitlines()[-5:]
        raise PretrainingFailed(f"{child.args!r}: exit code {child.returncode}, expected 0: {' '.join(said)}")


def _report(metrics: Path, on_progress: Callable[[int, int], None]) -> None:
    if not metrics.exists():
        return
    lines = metrics.read_text().split("\n")[:-1]  # the last line may be half written
    if lines:
        last = json.loads(lines[-1])
        on_progress(last["step"], last["total_steps"])
