"""Rows for the tests of labeling, made the way the product makes them where it has a way."""

from __future__ import annotations

import itertools
import uuid
from datetime import UTC, datetime

from django.contrib.auth.models import User

from annotate import protocols
from annotate.models import Protocol, Task, TaskCompletion
from rlhf.access import Access
from rlhf.models import Completion, Membership, ModelVersion, Project, Prompt, Role, Run
from rlhf.prompts import add, new_prompt

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
_numbers = itertools.count(1)


def project(*, slug: str = "letters") -> Project:
    return Project.objects.create(name=slug.title(), slug=slug, base_model="tiny", salt="salt")


def member(*, project: Project, name: str, role: str = Role.LABELER) -> Access:
    user = User.objects.filter(username=name).first() or User.objects.create_user(name)
    membership = Membership.objects.create(project=project, user=user, role=role, pseudonym=f"{name} of {project.slug}")
    return Access(user, project, Role(role), membership.pseudonym)


def prompts(*, project: Project, num: int) -> list[Prompt]:
    first = next(_numbers)
    texts = [f"Write a letter to number {first}-{index}" for index in range(num)]
    add(project=project, prompts=[new_prompt(value=text) for text in texts], source="test")
    return list(Prompt.objects.filter(project=project).order_by("-id")[:num])[::-1]


def version(*, project: Project, name: str = "v0") -> ModelVersion:
    return ModelVersion.objects.create(project=project, kind=ModelVersion.Kind.SFT, name=name)


def completions(*, prompt: Prompt, version: ModelVersion, texts: list[str]) -> list[Completion]:
    run = Run.objects.create(
        project=prompt.project, kind=Run.Kind.SAMPLE, resource=Run.Resource.GPU, purpose="evaluation",
        plan_key=f"sample-{next(_numbers)}", state=Run.State.SUCCEEDED, attempt=1, policy=version,
    )  # fmt: skip
    return [
        Completion.objects.create(
            project=prompt.project, prompt=prompt, version=version, run=run, attempt=1, sample_index=index, text=text,
            num_tokens=1, finished=True,
        )
        for index, text in enumerate(texts)
    ]  # fmt: skip


def task(
    *, project: Project, kind: str = Protocol.Kind.DEMONSTRATE, overlap: int = 1, priority: int = 0,
    prompt: Prompt | None = None, shown: list[Completion] | None = None, iteration: int = 0,
    protocol: Protocol | None = None,
) -> Task:  # fmt: skip
    if prompt is None and kind != Protocol.Kind.PROMPT:
        (prompt,) = prompts(project=project, num=1)
    made = Task.objects.create(
        project=project, protocol=protocol or protocols.protocol(project=project, kind=kind), kind=kind,
        overlap=overlap, prompt=prompt, batch=f"batch-{next(_numbers)}", priority=priority,
        iteration=iteration,
    )  # fmt: skip
    for index, completion in enumerate(shown or []):
        TaskCompletion.objects.create(task=made, completion=completion, index=index)
    return made


def ranking_task(*, project: Project, texts: list[str], overlap: int = 1, iteration: int = 0) -> Task:
    prompt = prompts(project=project, num=1)[0]
    model = ModelVersion.objects.filter(project=project).first() or version(project=project)
    shown = completions(prompt=prompt, version=model, texts=texts)
    return task(
        project=project, kind=Protocol.Kind.RANK, prompt=prompt, shown=shown, overlap=overlap, iteration=iteration
    )


def new_id() -> uuid.UUID:
    return uuid.uuid4()
