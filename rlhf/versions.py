"""Model versions: where their weights are, what they come from, and which one is current.

A candidate is decided on once. It becomes current if people prefer it: the lower bound of its win rate over the
version before it, on held-out prompts, lies above one half.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from django.core.files.storage import default_storage
from django.db import transaction

from rlhf import storage
from rlhf.models import Estimate, ModelVersion, Project, Promotion


def current(*, project: Project) -> ModelVersion | None:
    return ModelVersion.objects.filter(project=project, is_current=True).first()


def base(*, project: Project) -> ModelVersion:
    """The model that the project starts from, taken by name or path."""
    return register(project=project, kind=ModelVersion.Kind.BASE, name="base", source=project.base_model)


def register(
    *,
    project: Project,
    kind: str,
    name: str,
    iteration: int = 0,
    number: int | None = None,
    parent: ModelVersion | None = None,
    path: str = "",
    source: str = "",
    weights_sha256: str = "",
    metrics: dict[str, Any] | None = None,
    endpoint: dict[str, Any] | None = None,
) -> ModelVersion:
    """The version of this name, made unless it is there."""
    version = ModelVersion(
        project=project,
        kind=kind,
        name=name,
        iteration=iteration,
        number=number,
        parent=parent,
        path=path,
        source=source,
        weights_sha256=weights_sha256,
        metrics=metrics or {},
        endpoint=endpoint or {},
    )
    ModelVersion.objects.bulk_create([version], ignore_conflicts=True)
    return ModelVersion.objects.get(project=project, name=name)


def store_weights(*, project: Project, folder: Path, weights_sha256: str) -> str:
    """Keep a folder of weights on storage under the hash of its weights; its name there."""
    name = f"versions/{project.pk}/{weights_sha256}"
    storage.put_folder(name=name, folder=folder)
    return name


def local_path(*, version: ModelVersion) -> str:
    """What `from_pretrained` takes: a folder on this machine, or the name that the model was given by."""
    if not version.path:
        return version.source
    return str(storage.local_folder(name=version.path))


def is_adapter(*, version: ModelVersion) -> bool:
    """Whether its files are a LoRA adapter, which needs the model that it belongs to beside it."""
    return bool(version.path) and default_storage.exists(f"{version.path}/adapter_config.json")


def promote_first(*, version: ModelVersion, now: datetime) -> Promotion:
    return _decide(version, None, None, promoted=True, reason="the first version", now=now)


def decide(*, candidate: ModelVersion, baseline: ModelVersion, estimate: Estimate, now: datetime) -> Promotion:
    """Promote where the estimate's lower bound lies above one half."""
    promoted = estimate.low > 0.5
    found = f"win rate {estimate.win_rate:.3f} [{estimate.low:.3f}, {estimate.high:.3f}] over {baseline.name}"
    expected = "the lower bound is above 0.5" if promoted else "the lower bound is not above 0.5"
    reason = f"{found} by {estimate.judge.name}, {estimate.num_prompts} held-out prompts: {expected}"
    return _decide(candidate, baseline, estimate, promoted=promoted, reason=reason, now=now)


def promote_untested(*, candidate: ModelVersion, baseline: ModelVersion, now: datetime) -> Promotion:
    reason = "the project asks for no comparisons by people"
    return _decide(candidate, baseline, None, promoted=True, reason=reason, now=now)


def reject_uncompared(*, candidate: ModelVersion, baseline: ModelVersion, now: datetime) -> Promotion:
    reason = f"every comparison was closed without an answer: {baseline.name} stays"
    return _decide(candidate, baseline, None, promoted=False, reason=reason, now=now)


def reject_late(*, candidate: ModelVersion, baseline: ModelVersion, hours: float, now: datetime) -> Promotion:
    reason = f"not enough comparisons by people within {hours:g} hours: {baseline.name} stays"
    return _decide(candidate, baseline, None, promoted=False, reason=reason, now=now)


def _decide(
    candidate: ModelVersion,
    baseline: ModelVersion | None,
    estimate: Estimate | None,
    *,
    promoted: bool,
    reason: str,
    now: datetime,
) -> Promotion:
    with transaction.atomic():
        promotion, is_new = Promotion.objects.get_or_create(
            candidate=candidate,
            defaults={
                "project": candidate.project,
                "baseline": baseline,
                "estimate": estimate,
                "promoted": promoted,
                "reason": reason[:300],
                "decided_at": now,
            },
        )
        if is_new and promoted:
            ModelVersion.objects.filter(project=candidate.project, is_current=True).update(is_current=False)
            ModelVersion.objects.filter(pk=candidate.pk).update(is_current=True)
    return promotion


def num_losses(*, project: Project) -> int:
    """Candidates in a row that were not promoted, up to now."""
    losses = 0
    for promoted in Promotion.objects.filter(project=project).order_by("-id").values_list("promoted", flat=True):
        if promoted:
            break
        losses += 1
    return losses
