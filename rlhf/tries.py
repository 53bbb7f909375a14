"""Trying a version: a typed prompt, and a sample run for each version asked.

Its prompt is kept apart by its source, so that nobody labels it and no run trains on it.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.models import User
from django.db.models import QuerySet

from rlhf import prompts, runs
from rlhf.completions import visible
from rlhf.errors import Refusal
from rlhf.models import Completion, ModelVersion, Project, Prompt, Run

PURPOSE = "try"
MAX_WAITING = 20  # runs of a project that wait for an answer
POLICIES = (ModelVersion.Kind.BASE, ModelVersion.Kind.SFT, ModelVersion.Kind.BEST_OF_N, ModelVersion.Kind.PPO)


class TooManyTries(Refusal):
    status = 429


@dataclass(frozen=True)
class Answer:
    run: Run
    prompt: Prompt
    completion: Completion | None


def versions(*, project: Project) -> QuerySet[ModelVersion]:
    """The policies, the current one first, then the newest."""
    return ModelVersion.objects.filter(project=project, kind__in=POLICIES).order_by("-is_current", "-id")


def ask(*, project: Project, author: User, text: str, versions: Sequence[ModelVersion], now: datetime) -> str:
    """A sample run for each version; the key under which the answers are found. Raises TooManyTries, BadPrompt."""
    waiting = Run.objects.filter(project=project, purpose=PURPOSE, state__in=(Run.State.QUEUED, Run.State.RUNNING))
    if (num_waiting := waiting.count()) >= MAX_WAITING:
        raise TooManyTries(f"expected fewer than {MAX_WAITING} tries waiting for an answer, found {num_waiting}")
    prompt = _prompt(project, author, text)
    key = secrets.token_hex(8)
    for version in dict.fromkeys(versions):
        configuration = {**project.loop.get("sample", {})}
        configuration["text"] = {"prompt_format": project.prompt_format, **configuration.get("text", {})}
        configuration["sampling"] = {**configuration.get("sampling", {}), "num_samples": 1}
        runs.ask(
            project=project, kind=Run.Kind.SAMPLE, plan_key=f"try/{key}/{version.pk}", purpose=PURPOSE, policy=version,
            configuration=configuration, selection={"prompt_ids": [prompt.pk]}, now=now,
        )  # fmt: skip
    return key


def answers(*, project: Project, key: str) -> list[Answer]:
    """In the order asked; without a completion while the run has not succeeded."""
    asked = Run.objects.filter(project=project, purpose=PURPOSE, plan_key__startswith=f"try/{key}/")
    asked = asked.select_related("policy").order_by("id")
    completions = {completion.run_id: completion for completion in visible().filter(run__in=list(asked))}
    ids = {run.pk: run.selection["prompt_ids"][0] for run in asked}
    texts = Prompt.objects.in_bulk(ids.values())
    return [Answer(run, texts[ids[run.pk]], completions.get(run.pk)) for run in asked]


def _prompt(project: Project, author: User, text: str) -> Prompt:
    new = prompts.new_prompt(value=text)
    prompts.add(project=project, prompts=[new], source=prompts.TRY, author=author)
    return Prompt.objects.get(project=project, sha256=prompts.sha256_of(messages=new.messages))
