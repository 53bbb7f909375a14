"""Weights for others: the stored files, or for a LoRA adapter those of a run that merged it into its model."""

from __future__ import annotations

from datetime import datetime

from rlhf import runs
from rlhf.models import ModelVersion, Run

PURPOSE = "download"


def merging(*, version: ModelVersion) -> Run | None:
    """The run that merges an adapter, in whatever state; its result holds the `path` on storage."""
    return Run.objects.filter(project=version.project_id, plan_key=_key(version)).first()


def ask(*, version: ModelVersion, now: datetime) -> Run:
    """The merging run, asked for unless it has been; a failed or cancelled one is tried again."""
    run = runs.ask(
        project=version.project, kind=Run.Kind.DELIVER, plan_key=_key(version), purpose=PURPOSE, policy=version, now=now
    )
    return runs.retry(run=run) if run.state in (Run.State.FAILED, Run.State.CANCELLED) else run


def _key(version: ModelVersion) -> str:
    return f"deliver/{version.weights_sha256}"
