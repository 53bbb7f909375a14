"""Freezing a dataset: rows that count become a Parquet file, its JSONL twin and a snapshot that never changes.

Done in the worker itself, since it needs the database. `Run.selection` says what: {"dataset": "demonstrations"},
{"dataset": "rankings", "iteration", "old_weight"} or {"dataset": "verdicts", "evaluations"}.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings

from annotate import datasets
from rlhf import evaluations, snapshots
from rlhf.learning import tables
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
    rows = list(_rows(run))
    if not rows:
        raise NothingToFreeze(f"{dataset}: expected rows that count, found none")
    settings.VAR.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.VAR, prefix="freeze-") as folder:
        parquet, jsonl = Path(folder) / f"{dataset}.parquet", Path(folder) / f"{dataset}.jsonl"
        tables.write_table(parquet, SCHEMAS[dataset], rows)
        tables.write_jsonl(jsonl, SCHEMAS[dataset], rows)
        return snapshots.store(
            project=run.project,
            configuration=dataset,
            iteration=run.iteration,
            parameters={name: value for name, value in run.selection.items() if name != "dataset"},
            parquet=parquet,
            jsonl=jsonl,
            num_rows=len(rows),
        )


def _rows(run: Run) -> Iterator[dict[str, Any]]:
    dataset = run.selection["dataset"]
    if dataset == "demonstrations":
        return datasets.demonstration_rows(project=run.project)
    if dataset == "rankings":
        return datasets.ranking_rows(
            project=run.project, iteration=run.selection["iteration"], old_weight=run.selection["old_weight"]
        )
    chosen = run.project.evaluations.filter(pk__in=run.selection["evaluations"])
    return evaluations.verdict_rows(project=run.project, evaluations=chosen)
