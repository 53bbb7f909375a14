"""Two equal SFT runs in the database of the environment: `python -m tests.workers.small make MODEL`, or `show` them."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.utils import timezone  # noqa: E402

from rlhf import runs, snapshots, versions  # noqa: E402
from rlhf.learning import tables  # noqa: E402
from rlhf.models import DatasetSnapshot, Project, Run  # noqa: E402
from tests.learning.rows import demonstration_rows  # noqa: E402

CONFIGURATION = {
    "text": {"max_prompt_tokens": 64, "max_completion_tokens": 16},
    "batch_size": 4,
    "micro_batch_size": 4,
    "num_epochs": 30,
    "engine": {"seed": 3, "checkpoint_every": 5},
}


def make(model: str) -> None:
    project = Project.objects.create(name="P", slug="p", base_model=model, salt="s")
    for key in ("alone", "disturbed"):
        runs.ask(
            project=project, kind="sft", plan_key=key, policy=versions.base(project=project), now=timezone.now(),
            configuration=CONFIGURATION, snapshot=demonstrations(project),
        )  # fmt: skip


def demonstrations(project: Project) -> DatasetSnapshot:
    rows = demonstration_rows(24, 4)
    with tempfile.TemporaryDirectory() as folder:
        parquet, jsonl = Path(folder) / "rows.parquet", Path(folder) / "rows.jsonl"
        tables.write_table(parquet, tables.DEMONSTRATIONS, rows)
        tables.write_jsonl(jsonl, tables.DEMONSTRATIONS, rows)
        return snapshots.store(
            project=project, configuration="demonstrations", iteration=0, parameters={}, parquet=parquet, jsonl=jsonl,
            num_rows=len(rows),
        )  # fmt: skip


def show() -> dict[str, dict[str, Any]]:
    return {
        run.plan_key: {
            "state": run.state,
            "attempt": run.attempt,
            "weights": run.made_version and run.made_version.weights_sha256,
            "steps": list(run.metrics.filter(attempt=run.attempt).values_list("step", flat=True)),
        }
        for run in Run.objects.select_related("made_version")
    }


if __name__ == "__main__":
    print(json.dumps(make(sys.argv[2]) if sys.argv[1] == "make" else show()))
