"""Who gives verdicts. A judge is found by its identity: a hash of all that shapes a verdict, kept readable beside it.

A changed judge is another judge, so it never inherits verdicts; an unchanged one is the same row for ever.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from rlhf.learning import verdicts
from rlhf.learning.configs import JudgeConfig
from rlhf.models import Judge, ModelVersion, Project


def reward_judge(*, version: ModelVersion) -> Judge:
    """The judge that a reward model is. Other weights or another template are another judge."""
    weights = version.weights_sha256 or version.path or version.source
    settings = {"kind": "reward_model", "weights_sha256": weights, "prompt_format": version.project.prompt_format}
    return _judge(version.project, Judge.Kind.REWARD_MODEL, f"reward model {version.name}", settings, version)


def people_judge(*, project: Project) -> Judge:
    return _judge(project, Judge.Kind.PEOPLE, "people", {"kind": "people"})


def gold_judge(*, project: Project, name: str) -> Judge:
    """The hidden truth of a simulated world; `name` says which, its version included."""
    return _judge(project, Judge.Kind.GOLD, name, {"kind": "gold", "name": name})


def configured_judge(*, project: Project, name: str, config: JudgeConfig) -> Judge:
    """A language model or a verifier as the project's settings have it; a new name is shown for the same judge."""
    settings = verdicts.settings(config)
    judge = _judge(project, Judge.Kind(settings["kind"]), name, settings)
    if judge.name != name[:80]:
        Judge.objects.filter(pk=judge.pk).update(name=name[:80])
        judge.name = name[:80]
    return judge


def identity_of_configured(*, config: JudgeConfig) -> str:
    return identity_of(settings=verdicts.settings(config))


def imported_judge(*, project: Project, name: str, declared: dict[str, Any]) -> Judge:
    """Who judged elsewhere: a name, and whatever was declared about its model, template and parameters."""
    return _judge(project, Judge.Kind.IMPORTED, name, {"kind": "imported", "name": name, "declared": declared})


def identity_of(*, settings: dict[str, Any]) -> str:
    """Equal settings have equal identities, and no two others are likely to."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _judge(
    project: Project, kind: Judge.Kind, name: str, settings: dict[str, Any], version: ModelVersion | None = None
) -> Judge:
    judge, _ = Judge.objects.get_or_create(
        project=project,
        identity=identity_of(settings=settings),
        defaults={"kind": kind, "name": name[:80], "settings": settings, "version": version},
    )
    return judge
