"""Which judge runs an evaluation lacks: one for each judge of the project, asked for once.

- The reward model of the evaluation's own round judges it, and so does every language model and verifier of the
  project's settings. A plan key holds the judge's identity: a changed judge is another one, asked anew and credited
  with nothing, while an unchanged one is asked nothing again.
- Every other reward model judges one evaluation of each numbered version, its first: then every version's answers have
  been scored by every reward model, once.

Evaluations that somebody asked for are planned in `workers/requested.py`, and verdicts that were imported (iteration 0)
are judged anew by nobody.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from rlhf import evaluations, judge_settings, judges
from rlhf.judge_settings import ConfiguredJudge
from rlhf.models import Evaluation, ModelVersion, Run
from workers.turn import Turn, ask

DIGITS = 16  # of an identity, in a plan key


def plan(turn: Turn) -> None:
    """Ask for what the evaluations of the project lack."""
    opened = _opened(turn)
    if not opened:
        return
    asked = set(Run.objects.filter(project=turn.project, kind=Run.Kind.JUDGE).values_list("plan_key", flat=True))
    configured = judge_settings.parse(turn.settings.judges)
    for evaluation, version in _scorings(turn, opened):
        if _reward_key(evaluation, version) not in asked:
            by_reward_model(turn, evaluation, version)
    for judge in configured:
        identity = judges.identity_of_configured(config=judge.config)[:DIGITS]
        for evaluation in opened:
            key = f"{_key(evaluation)}/{identity}"
            if key not in asked and (prompt_ids := _prompts(judge, evaluation)):
                _by_configured_judge(turn, evaluation, judge, key, prompt_ids)


def reward_configuration(turn: Turn) -> dict[str, Any]:
    """How a reward model judges: as it was trained."""
    reward = turn.configuration("reward")
    return {name: reward[name] for name in ("engine", "text") if name in reward}


def by_reward_model(turn: Turn, evaluation: Evaluation, version: ModelVersion) -> Run | None:
    """The run of a reward model on an evaluation, asked for unless that has been done; None until it has succeeded."""
    return ask(
        replace(turn, iteration=evaluation.iteration),
        Run.Kind.JUDGE,
        _reward_key(evaluation, version),
        configuration=reward_configuration(turn),
        reward_model=version,
        evaluation=evaluation,
        judge=judges.reward_judge(version=version),
    )


def _by_configured_judge(
    turn: Turn, evaluation: Evaluation, judge: ConfiguredJudge, key: str, prompt_ids: list[int]
) -> None:
    ask(
        replace(turn, iteration=evaluation.iteration),
        Run.Kind.JUDGE,
        key,
        configuration=judge.configuration,
        selection={"prompt_ids": prompt_ids},
        evaluation=evaluation,
        judge=judges.configured_judge(project=turn.project, name=judge.name, config=judge.config),
    )


def _opened(turn: Turn) -> list[Evaluation]:
    """Evaluations of this project's own rounds, oldest first."""
    found = Evaluation.objects.filter(project=turn.project, iteration__gt=0, requested_at=None).order_by("id")
    return list(found.select_related("candidate", "baseline"))


def _scorings(turn: Turn, opened: list[Evaluation]) -> Iterator[tuple[Evaluation, ModelVersion]]:
    """Which reward model is to judge which evaluation."""
    models = list(turn.project.versions.filter(kind=ModelVersion.Kind.REWARD, iteration__gt=0).order_by("id"))
    first: dict[int, int] = {}
    for evaluation in opened:
        if evaluation.candidate.number is not None:
            first.setdefault(evaluation.candidate_id, evaluation.pk)
    for evaluation in opened:
        for version in models:
            if version.name == f"rm{evaluation.iteration}" or first.get(evaluation.candidate_id) == evaluation.pk:
                yield evaluation, version


def _prompts(judge: ConfiguredJudge, evaluation: Evaluation) -> list[int]:
    """What both have answered; of a verifier those with a target."""
    both = evaluations.answered_by_both(evaluation=evaluation).order_by("id")
    if judge.config.backend == "verifier":
        both = both.exclude(target="")
    return list(both.values_list("pk", flat=True))


def _key(evaluation: Evaluation) -> str:
    return f"judge/{evaluation.iteration}/{evaluation.candidate.name}-{evaluation.baseline.name}"


def _reward_key(evaluation: Evaluation, version: ModelVersion) -> str:
    own = version.name == f"rm{evaluation.iteration}"
    return _key(evaluation) if own else f"{_key(evaluation)}/{version.name}"
