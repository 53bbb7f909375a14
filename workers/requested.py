"""Evaluations that somebody asked for, and those of new rivals: answers, verdicts and tasks for people, as missing.

Not a part of the loop: it goes on where the loop is paused or finished, and decides nothing. Each step is asked for
under a key that names what it is about, so asking twice asks once, and what is there already is not made again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Max, Q, QuerySet

from annotate import batches
from annotate.models import Task
from rlhf import evaluations, judge_settings, judges, loop_settings
from rlhf.evaluations import EVALUATION
from rlhf.models import Evaluation, Judge, ModelVersion, Project, Prompt, Run, Split
from rlhf.prompts import annotated
from workers import choice, decision, judging
from workers.turn import Turn, ask

MOST_UNASKED = 200  # held-out prompts where people were asked about none yet and neither version has answered any
UNDER_WAY = (Run.State.QUEUED, Run.State.RUNNING)


@dataclass(frozen=True)
class _Asked:
    """A judge of the project, and how a run asks it."""

    judge: Judge
    configuration: dict[str, Any]
    reward_model: ModelVersion | None = None


def plan(*, project: Project, now: datetime) -> None:
    """Ask for the next step of every requested evaluation. Raises BadLoopSettings."""
    asked_for = project.evaluations.filter(requested_at__isnull=False).select_related("candidate", "baseline")
    for evaluation in asked_for.order_by("id"):
        settings = loop_settings.parse(project.loop)
        turn = Turn(project=project, settings=settings, now=now, iteration=evaluation.iteration)
        if _has_answers(turn, evaluation):
            _ask_judges(turn, evaluation)
            _open_comparisons(turn, evaluation)


def projects() -> QuerySet[Project]:
    """Those that have a requested evaluation, whatever state their loop is in."""
    return Project.objects.filter(evaluations__requested_at__isnull=False).distinct().order_by("id")


def content(*, project: Project) -> str:
    """A name for what a plan mostly depends on, cheap to ask: the same name, and planning would ask for nothing new."""
    states = Run.objects.filter(project=project).order_by("state").values_list("state").annotate(Count("pk"))
    asked_for = project.evaluations.filter(requested_at__isnull=False)
    newest = (
        asked_for.aggregate(num=Count("pk"), at=Max("requested_at")),
        project.versions.aggregate(num=Count("pk"), pk=Max("pk")),
        Run.objects.filter(project=project).aggregate(pk=Max("pk")),
    )
    return repr((list(states), newest, project.loop, project.prompt_format))


def _has_answers(turn: Turn, evaluation: Evaluation) -> bool:
    """Ask for the answers that are missing; true once nothing is missing that can be had."""
    wanted = _wanted(turn, evaluation)
    ready = True
    for version in (evaluation.candidate, evaluation.baseline):
        if version.kind == ModelVersion.Kind.ANSWERS:
            continue
        missing = wanted.exclude(evaluations.answered_by(version=version)).order_by("id").values_list("pk", "sha256")
        if found := list(missing):
            ready = False
            _ask_answers(turn, version, found)
    return ready


def _wanted(turn: Turn, evaluation: Evaluation) -> QuerySet[Prompt]:
    """What both are to answer: where one is a file of answers its prompts, else the prompts that people annotate, held
    out, and those that either has answered."""
    prompts = annotated(project=turn.project)
    sides = (evaluation.candidate, evaluation.baseline)
    files = [version for version in sides if version.kind == ModelVersion.Kind.ANSWERS]
    if files:
        for version in files:
            prompts = prompts.filter(evaluations.answered_by(version=version))
        return prompts
    asked = decision.annotated(turn)
    by_either = evaluations.answered_by(version=sides[0]) | evaluations.answered_by(version=sides[1])
    wanted = prompts.filter(Q(pk__in=asked.values("pk")) | by_either)
    if wanted.exists():
        return wanted
    chosen = choice.among(
        prompts=prompts.filter(split=Split.HELD_OUT), project=turn.project, purpose=EVALUATION, limit=MOST_UNASKED
    )
    return prompts.filter(pk__in=[prompt.pk for prompt in chosen])


def _ask_answers(turn: Turn, version: ModelVersion, missing: list[tuple[int, str]]) -> None:
    """One run at a time for a version: what it is answering now is missing no longer when it has."""
    at_work = Run.objects.filter(project=turn.project, kind=Run.Kind.SAMPLE, policy=version, purpose=EVALUATION)
    if at_work.filter(state__in=UNDER_WAY).exists():
        return
    ask(
        turn,
        Run.Kind.SAMPLE,
        f"sample/requested/{version.name}/{_digest(sha256 for _, sha256 in missing)}",
        purpose=EVALUATION,
        configuration=turn.configuration("sample", sampling={"num_samples": 1}),
        selection={"prompt_ids": [pk for pk, _ in missing]},
        policy=version,
    )


def _judges(turn: Turn) -> Iterator[_Asked]:
    """Every reward model that has weights, and the language models and verifiers of the project's settings."""
    configuration = judging.reward_configuration(turn)
    for version in turn.project.versions.filter(kind=ModelVersion.Kind.REWARD).order_by("id"):
        yield _Asked(judges.reward_judge(version=version), configuration, version)
    for one in judge_settings.parse(turn.settings.judges):
        judge = judges.configured_judge(project=turn.project, name=one.name, config=one.config)
        yield _Asked(judge, one.configuration)


def _ask_judges(turn: Turn, evaluation: Evaluation) -> None:
    """Every judge of the project is asked about the prompts on which it has given no verdict yet."""
    both = evaluations.answered_by_both(evaluation=evaluation)
    for one in _judges(turn):
        prompts = both.exclude(target="") if one.judge.kind == Judge.Kind.VERIFIER else both
        judged = evaluations.visible_verdicts().filter(evaluation=evaluation, judge=one.judge)
        missing = prompts.exclude(pk__in=judged.values("prompt")).order_by("id").values_list("pk", "sha256")
        its_runs = Run.objects.filter(kind=Run.Kind.JUDGE, evaluation=evaluation, judge=one.judge)
        asked = _asked_about(its_runs) if one.judge.kind == Judge.Kind.LLM else set()
        found = [(pk, sha256) for pk, sha256 in missing if pk not in asked]
        if its_runs.filter(state__in=UNDER_WAY).exists() or not found:
            continue
        names = (one.judge.identity, evaluation.candidate.name, evaluation.baseline.name)
        ask(
            turn,
            Run.Kind.JUDGE,
            f"judge/requested/{_digest(names)}/{_digest(sha256 for _, sha256 in found)}",
            configuration=one.configuration,
            selection={"prompt_ids": [pk for pk, _ in found]},
            reward_model=one.reward_model,
            evaluation=evaluation,
            judge=one.judge,
        )


def _asked_about(its_runs: QuerySet[Run]) -> set[int]:
    """What a language model was asked about, though some of it couldn't be read: it would say the same again."""
    selections = its_runs.filter(state=Run.State.SUCCEEDED).values_list("selection", flat=True)
    return {pk for selection in selections for pk in selection.get("prompt_ids", [])}


def _open_comparisons(turn: Turn, evaluation: Evaluation) -> None:
    """Tasks for people on held-out prompts, as many as a comparison of the loop has, while the project asks people."""
    limit = turn.settings.num_compare_tasks
    batch = f"compare/requested/{_digest((evaluation.candidate.name, evaluation.baseline.name))}"
    if limit == 0 or Task.objects.filter(project=turn.project, batch=batch).count() >= limit:
        return
    both = evaluations.answered_by_both(evaluation=evaluation).filter(split=Split.HELD_OUT)
    prompts = choice.among(prompts=both, project=turn.project, purpose=batch, limit=limit)
    opened = Task.objects.filter(project=turn.project, batch=batch).values("prompt")
    missing = [prompt for prompt in prompts if not opened.filter(prompt=prompt).exists()]
    if missing:
        batches.open_comparisons(evaluation=evaluation, prompts=missing, batch=batch)


def _digest(texts: Iterable[str]) -> str:
    """A name for texts, the same in every database."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]
