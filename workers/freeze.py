"""Freezing a dataset: rows that count become a Parquet file, its JSONL twin and a snapshot that never changes.

Done in the worker itself, since it needs the database. `Run.selection` says what: {"dataset": "demonstrations"},
{"dataset": "rankings", "iteration", "old_weight"} or {"dataset": "verdicts", "evaluations"}, without evaluations all of
the project. Rows go into the files as they come, so a million of them need no more memory than a few thousand.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings

from annotate import datasets
from rlhf import evaluations, snapshots
from rlhf.learning import columns, tables
from rlhf.models import DatasetSnapshot, Run

SCHEMAS = {
    "demonstrations": tables.DEMONSTRATIONS,
    "rankings": tables.RANKINGS,
    "verdicts": tables.VERDICTS,
}


class NothingToFreeze(Exception):
    pass


def freeze(*, run: Run) -> DatasetSnapshot:
    """The snapshot of what the run selects. Raises NothingToFreeze for an unknown dataset or one without rows."""
    dataset = run.selection.get("dataset")
    if dataset not in SCHEMAS:
        raise NothingToFreeze(f"dataset: expected one of {', '.join(SCHEMAS)}, found {dataset!r}")
    frozen = evaluations.Frozen()
    settings.VAR.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.VAR, prefix="freeze-") as folder:
        parquet, jsonl = Path(folder) / f"{dataset}.parquet", Path(folder) / f"{dataset}.jsonl"
        num_rows = columns.write_twins(parquet, jsonl, SCHEMAS[dataset], _rows(run, frozen))
        if not num_rows:
            raise NothingToFreeze(f"{dataset}: expected rows that count, found none")
        parameters = {name: value for name, value in run.selection.items() if name != "dataset"}
        if dataset == "verdicts":
            parameters["verdicts"] = frozen.parameters()
        return snapshots.store(
            project=run.project,
            configuration=dataset,
            iteration=run.iteration,
            parameters=parameters,
            parquet=parquet,
            jsonl=jsonl,
            num_rows=num_rows,
        )


def _rows(run: Run, frozen: evaluations.Frozen) -> Iterator[dict[str, Any]]:
    dataset = run.selection["dataset"]
    if dataset == "demonstrations":
        return datasets.demonstration_rows(project=run.project)
    if dataset == "rankings":
        return datasets.ranking_rows(
            project=run.project, iteration=run.selection["iteration"], old_weight=run.selection["old_weight"]
        )
    chosen = None
    if "evaluations" in run.selection:
        chosen = run.project.evaluations.filter(pk__in=run.selection["evaluations"])
    return evaluations.verdict_rows(project=run.project, evaluations=chosen, frozen=frozen)
