"""An `estimate` run: verdicts in, win rates with intervals and the document that pages show out. Needs no torch."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlhf.learning import checkpoint, tables
from rlhf.learning.configs import EstimateConfig
from rlhf.learning.evaluation import verdicts as frozen
from rlhf.learning.evaluation.cells import cells, estimate_row
from rlhf.learning.evaluation.document import canonical, document

DOCUMENT = "document.json"
NUM_PIECES = 8  # that are announced


@dataclass
class Progress:
    """A metric line per piece of work, and again within a long one, so that the run is seen to live."""

    path: Path
    began: float = field(default_factory=time.monotonic)
    num_begun: int = 0
    piece: str = ""

    def begin(self, piece: str) -> None:
        self.num_begun += piece != self.piece
        self.piece = piece
        line = {
            "step": self.num_begun,
            "total_steps": max(NUM_PIECES, self.num_begun),
            "time": time.monotonic() - self.began,
            "phase": piece,
        }
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")


def run(folder: Path, config: EstimateConfig) -> None:
    """Estimate every (evaluation, judge, split) of data/verdicts.parquet into rows.parquet, and all of it together into
    document.json where the configuration names versions."""
    metrics = folder / "metrics.jsonl"
    metrics.unlink(missing_ok=True)  # a run that was stopped begins anew
    progress = Progress(metrics)
    progress.begin("verdicts")
    found = frozen.read(folder / "data" / "verdicts.parquet")
    progress.begin("win rates")
    rates = cells(found, config)
    tables.write_table(folder / "rows.parquet", tables.ESTIMATE_ROWS, [estimate_row(cell) for cell in rates])
    outputs = {"rows.parquet": tables.sha256(folder / "rows.parquet")}
    if config.versions:
        text = canonical(document(found, rates, config, progress.begin)).decode()
        checkpoint.replace_text(folder / DOCUMENT, text)
        outputs[DOCUMENT] = tables.sha256(folder / DOCUMENT)
    result: dict[str, Any] = {
        "kind": "estimate",
        "metrics": {"num_verdicts": len(found), "num_estimates": len(rates)},
        "outputs": outputs,
    }
    checkpoint.replace_text(folder / "result.json", json.dumps(result, indent=1))
