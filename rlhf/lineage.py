"""Where a version comes from: its parents, the runs that made them, and what those used. Read, never written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rlhf.models import DatasetSnapshot, Evaluation, ModelVersion, Run

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


@dataclass(frozen=True)
class Link:
    """A thing of a step; `kind` and `pk` say which page is its own."""

    kind: str  # snapshot, version, run or evaluation
    pk: int
    text: str
    note: str = ""


@dataclass(frozen=True)
class Step:
    label: str
    links: list[Link]
    is_here: bool = False  # the run whose lineage this is made it, or works on it


MAX_LINKS = 6  # of a step


def steps(*, run: Run) -> list[Step]:
    """From labels to the evaluation: what stands before this run and what came of it. Steps of nothing are left out."""
    reward_model = run.made_version if run.kind == Run.Kind.REWARD else run.reward_model
    made = None if run.kind == Run.Kind.REWARD else run.made_version
    reward_run = made_by(versions=[reward_model]).get(reward_model.pk) if reward_model else None
    judged = run.evaluation
    snapshots = [one for one in (run.snapshot, run.demonstrations) if one is not None]
    if reward_run is not None and reward_run.pk != run.pk:
        snapshots += [one for one in (reward_run.snapshot,) if one is not None and one not in snapshots]
    snapshots += [run.made_snapshot] if run.made_snapshot else []
    policies = [one for one in (run.policy, made) if one is not None]
    if run.kind == Run.Kind.REWARD:
        policies += _trained_against(reward_model)
    if judged is not None:
        policies += [one for one in (judged.baseline, judged.candidate) if one not in policies]
    candidates = [made] if made else [one for one in policies if run.kind == Run.Kind.REWARD]
    found = [
        Step("Labels", [_labels(one) for one in snapshots]),
        Step("Snapshot", [Link("snapshot", one.pk, one.sha256[:12], one.configuration) for one in snapshots],
             is_here=run.made_snapshot is not None),
        Step("Reward model", [_version(reward_model)] if reward_model else [], is_here=run.kind == Run.Kind.REWARD),
        Step("Policy", [_version(one) for one in policies], is_here=made is not None),
        Step("Evaluation", _evaluations([judged] if judged else [], candidates), is_here=judged is not None),
    ]  # fmt: skip
    return [step for step in found if step.links]


def _labels(snapshot: DatasetSnapshot) -> Link:
    return Link("snapshot", snapshot.pk, f"{snapshot.num_rows} rows", f"round {snapshot.iteration}")


def _version(version: ModelVersion) -> Link:
    return Link("version", version.pk, version.name, version.get_kind_display())


def _trained_against(reward_model: ModelVersion | None) -> list[ModelVersion]:
    if reward_model is None:
        return []
    versions = ModelVersion.objects.filter(made_by__reward_model=reward_model).exclude(kind=ModelVersion.Kind.VALUE)
    return list(versions.distinct().order_by("id")[:MAX_LINKS])


def _evaluations(first: list[Evaluation], candidates: Iterable[ModelVersion]) -> list[Link]:
    rows = list(first)
    if not rows:
        there = Evaluation.objects.filter(candidate__in=[one.pk for one in candidates])
        rows = list(there.select_related("candidate", "baseline").order_by("-id")[:MAX_LINKS])
    return [Link("evaluation", row.pk, str(row)) for row in rows]
