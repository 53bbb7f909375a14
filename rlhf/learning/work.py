"""A run folder at work: what it logs, how it stops, how it ends. Torch-free; `loop.Run` adds models and checkpoints."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlhf.learning import checkpoint
from rlhf.learning.reports import Reports
from rlhf.learning.tables import sha256, write_table


class Work:
    """The metric lines, files and end of a run, and the SIGTERM that asks it to stop."""

    def __init__(
        self, folder: Path, kind: str, total_steps: int, report_to: Sequence[str] = (), *, writes: bool = True
    ) -> None:
        """Args:
        total_steps: what `step` counts up to.
        writes: False for one of several processes that do the same, of which another writes.
        """
        self.folder = folder
        self.kind = kind
        self.total_steps = total_steps
        self.step = 0
        self.stop_requested = False
        self._writes, self._report_to = writes, report_to
        self._reports = Reports(folder, report_to)
        signal.signal(signal.SIGTERM, self._request_stop)

    def begin(self, step: int = 0) -> None:
        """Go on after `step`: metrics.jsonl is cut there. Lines of step 0 stay: what was said once isn't said again."""
        if self._writes:
            checkpoint.cut_metrics(self.folder, step)
        self._reports = Reports(self.folder, self._report_to)  # from the lines that are left

    def log(self, phase: str, numbers: Mapping[str, Any]) -> None:
        """Append a line to metrics.jsonl for the current step, and flush it; one process of several does."""
        if not self._writes:
            return
        line = {"step": self.step, "total_steps": self.total_steps, "time": time.time(), "phase": phase, **numbers}
        with (self.folder / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        self._reports.add(line)

    def log_first(self, phase: str, numbers: Mapping[str, Any]) -> None:
        """Log what a run says once, before everything else; a start that goes on doesn't say it again."""
        path = self.folder / "metrics.jsonl"
        if numbers and not (path.exists() and path.stat().st_size):
            self.log(phase, numbers)

    def stop_if_asked(self) -> None:
        """Raise Stopped when SIGTERM has come: for work between steps that a new start does again."""
        if self.stop_requested:
            raise checkpoint.Stopped(f"stopped at step {self.step} of {self.total_steps}")

    def write_rows(self, schema: Any, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write rows.parquet; one process of several does."""
        if self._writes:
            write_table(self.folder / "rows.parquet", schema, rows)

    def write_json(self, name: str, value: Any) -> None:
        """Write a small JSON file into the folder; one process of several does."""
        if self._writes:
            checkpoint.replace_text(self.folder / name, json.dumps(value, indent=1))

    def finish(self, metrics: Mapping[str, Any], outputs: Sequence[str]) -> None:
        """Hash the outputs (files or directories, relative to the folder) and rename result.json into place."""
        if not self._writes:
            return
        files: list[Path] = []
        for output in outputs:
            path = self.folder / output
            files += sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        hashes = {str(path.relative_to(self.folder)): sha256(path) for path in files}
        self._reports.close()
        result = {"kind": self.kind, "metrics": dict(metrics), "outputs": hashes}
        checkpoint.replace_text(self.folder / "result.json", json.dumps(result, indent=1))

    def _request_stop(self, *_: object) -> None:
        self.stop_requested = True
