"""Comparisons that are asked for, besides those of the loop: workers plan what a requested evaluation lacks.

A new rival is compared with the current version without being asked to, unless whoever brings it says otherwise.
"""

from __future__ import annotations

from datetime import datetime

from django.db.models import Value
from django.db.models.functions import Coalesce

from rlhf import rivals, tries, versions
from rlhf.errors import Refusal
from rlhf.evaluations import open_evaluation
from rlhf.models import Evaluation, ModelVersion, Project

COMPARABLE = (*tries.POLICIES, ModelVersion.Kind.ANSWERS)


class BadRequest(Refusal):
    """The two can't be compared."""


def request(*, candidate: ModelVersion, baseline: ModelVersion, now: datetime) -> Evaluation:
    """The evaluation of this pair, to be completed by the workers. Raises BadRequest."""
    if candidate == baseline:
        raise BadRequest(f"expected two versions, found {candidate.name} twice")
    for version in (candidate, baseline):
        if version.kind not in COMPARABLE or version.project_id != candidate.project_id:
            raise BadRequest(f"expected a version that answers prompts, found {version.name} ({version.kind})")
    # Iteration 0: it belongs to no round of the loop, which plans its own.
    found = open_evaluation(project=candidate.project, candidate=candidate, baseline=baseline, iteration=0)
    Evaluation.objects.filter(pk=found.pk).update(requested_at=Coalesce("requested_at", Value(now)))
    found.refresh_from_db()
    return found


def against_current(*, version: ModelVersion, now: datetime) -> Evaluation | None:
    """A version that is new here against the current one; None before there is a current one."""
    current = versions.current(project=version.project)
    return None if current in (None, version) else request(candidate=version, baseline=current, now=now)


def register_rival(*, project: Project, body: object, now: datetime) -> ModelVersion:
    """The rival of {"name", "kind", "endpoint", "evaluate"}. Raises rivals.BadRival, rivals.NameTaken."""
    wanted = body.get("evaluate", True) if isinstance(body, dict) else True
    if not isinstance(wanted, bool):
        raise rivals.BadRival(f"evaluate: expected true or false, found {str(wanted)[:40]!r}")
    version = rivals.register(project=project, body=body)
    if wanted and version.kind == ModelVersion.Kind.ENDPOINT:  # a file has no answers yet
        against_current(version=version, now=now)
    return version


def from_body(*, project: Project, body: object, now: datetime) -> Evaluation:
    """The evaluation of {"candidate", "baseline"}, ids or names. Raises BadRequest."""
    if not isinstance(body, dict):
        raise BadRequest(f"expected an object with candidate and baseline, found {type(body).__name__}")
    candidate, baseline = (_version(project, side, body.get(side)) for side in ("candidate", "baseline"))
    return request(candidate=candidate, baseline=baseline, now=now)


def _version(project: Project, side: str, value: object) -> ModelVersion:
    found = None
    if type(value) is int and 0 < value < 2**63:
        found = project.versions.filter(pk=value).first()
    elif isinstance(value, str) and "\0" not in value:
        found = project.versions.filter(name=value).first()
    if found is None:
        raise BadRequest(f"{side}: expected the id or the name of a version of this project, found {str(value)[:80]!r}")
    return found
