"""A project of one's own, made whole: project, prompts, protocols and people; then its loop starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction

from annotate import protocols
from annotate.models import Protocol
from rlhf import projects, prompts
from rlhf.errors import Refusal
from rlhf.models import Project, Role, Split
from rlhf.prompts import NewPrompt

MIN_PER_SIDE = 1  # prompts on either side of the split: without them nothing can be learned or compared


class TooFewPrompts(Refusal):
    pass


def create(
    *,
    manager: User,
    name: str,
    description: str,
    base_model: str,
    new_prompts: Sequence[NewPrompt],
    start: str,
    size: str,
    policy_training: str,
    num_completions: int,
    allow_ties: bool,
    guidelines: str,
    labelers: Sequence[User],
) -> Project:
    """The project, with its loop running. Raises a Refusal, and then nothing is made."""
    with transaction.atomic():
        project = projects.create(
            name=name,
            description=description,
            base_model=base_model,
            manager=manager,
            loop=_loop(start, size, policy_training),
        )
        prompts.add(project=project, prompts=new_prompts, source="import", author=manager)
        _fit_loop(project)
        asked: dict[str, Any] = {"guidelines": guidelines} if guidelines else {}
        ranking = {**asked, "num_completions": num_completions, "allow_ties": allow_ties}
        for kind, changes in (
            (Protocol.Kind.DEMONSTRATE, asked),
            (Protocol.Kind.RANK, ranking),
            (Protocol.Kind.COMPARE, {**asked, "allow_ties": allow_ties}),
        ):
            protocols.revise(protocol=protocols.protocol(project=project, kind=kind), **changes)
        for labeler in labelers:
            if labeler != manager:
                projects.join(project=project, user=labeler, role=Role.LABELER)
        projects.start(project=project)
    return project


def _loop(start: str, size: str, policy_training: str) -> dict[str, Any]:
    loop = {**projects.PRESETS[size], "policy_training": policy_training}
    return {**loop, "num_demonstrations": 0} if start == "rankings" else loop


def _fit_loop(project: Project) -> None:
    """Ask no more prompts of a round than the file brought."""
    sides = {side: project.prompts.filter(split=side).count() for side in (Split.TRAIN, Split.HELD_OUT)}
    if min(sides.values()) < MIN_PER_SIDE:
        found = f"{sides[Split.TRAIN]} training and {sides[Split.HELD_OUT]} held-out prompts"
        raise TooFewPrompts(f"prompts: expected enough for both sides of the split (20 will do), found {found}")
    limits = {
        "num_demonstrations": sides[Split.TRAIN],
        "num_ranking_prompts": sides[Split.TRAIN],
        "num_held_out_ranking_prompts": sides[Split.HELD_OUT],
        "num_compare_tasks": sides[Split.HELD_OUT],
    }
    fitted = {name: min(project.loop[name], limit) for name, limit in limits.items()}
    project.loop = {**project.loop, **fitted}
    Project.objects.filter(pk=project.pk).update(loop=project.loop)
