"""Where a version comes from: its parents, the runs that made them, and what those used. Read, never written."""

from __future__ import annotations

from collections.abc import Iterable

from rlhf.models import ModelVersion, Run

LONGEST = 200  # versions of a chain


def chain(*, version: ModelVersion) -> list[ModelVersion]:
    """From the base model to this version."""
    found, seen = [version], {version.pk}
    while (parent := found[0].parent) is not None and parent.pk not in seen and len(found) < LONGEST:
        found.insert(0, parent)
        seen.add(parent.pk)
    return found


def made_by(*, versions: Iterable[ModelVersion]) -> dict[int, Run]:
    """The run that made each version, by version id; none of a version that was taken from elsewhere."""
    runs = Run.objects.filter(made_version__in=[version.pk for version in versions]).order_by("-id")
    related = runs.select_related("snapshot", "demonstrations", "reward_model", "policy", "sft")
    return {run.made_version_id: run for run in related.defer("log") if run.made_version_id is not None}


def training_rewards(*, version: ModelVersion) -> frozenset[int]:
    """The reward models that this version, or one that it comes from, was trained against: no neutral judges of it."""
    runs = made_by(versions=chain(version=version)).values()
    return frozenset(run.reward_model_id for run in runs if run.reward_model_id is not None)
