"""An `estimate` run: verdicts in, win rates with intervals and the document that pages show out. Needs no torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rlhf.learning import checkpoint, tables
from rlhf.learning.configs import EstimateConfig
from rlhf.learning.evaluation import verdicts as frozen
from rlhf.learning.evaluation.cells import cells, estimate_row
from rlhf.learning.evaluation.document import canonical, document
from rlhf.learning.work import Work

DOCUMENT = "document.json"
NUM_PIECES = 8  # that are announced


def announcing(work: Work) -> Callable[[str], None]:
    """Call it with the name of each piece of work, and again within a long one: a metric line says that it lives."""
    last = ""

    def begin(piece: str) -> None:
        nonlocal last
        work.stop_if_asked()
        work.step += piece != last
        work.total_steps, last = max(work.total_steps, work.step), piece
        work.log(piece, {})

    return begin


def run(folder: Path, config: EstimateConfig) -> None:
    """Estimate every (evaluation, judge, split) of data/verdicts.parquet into rows.parquet, and all of it together into
    document.json where the configuration names versions. A run that was stopped begins anew."""
    work = Work(folder, "estimate", NUM_PIECES)
    work.begin()
    begin = announcing(work)
    begin("verdicts")
    found = frozen.read(folder / "data" / "verdicts.parquet")
    begin("win rates")
    rates = cells(found, config)
    work.write_rows(tables.ESTIMATE_ROWS, [estimate_row(cell) for cell in rates])
    outputs = ["rows.parquet"]
    if config.versions:
        checkpoint.replace_text(folder / DOCUMENT, canonical(document(found, rates, config, begin)).decode())
        outputs.append(DOCUMENT)
    work.finish({"num_verdicts": len(found), "num_estimates": len(rates)}, outputs)
