"""The end of an iteration: old and new answer the same held-out prompts, judges and people compare, people decide."""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.db.models import QuerySet

from annotate import batches
from annotate.models import Protocol, Task
from rlhf import evaluations, versions
from rlhf.models import Estimate, Evaluation, Judge, ModelVersion, Project, Prompt, Run, Split, Verdict
from workers import choice, judging
from workers.turn import Turn, ask, is_asked, made_snapshot, succeeded, version_named


def evaluate(turn: Turn, candidate: ModelVersion, current: ModelVersion, first: ModelVersion) -> None:
    """Answers -> verdicts by the reward model, compare tasks -> estimates -> the decision."""
    baselines = [current] if current == first else [current, first]
    answered = [_has_answered(turn, version) for version in (candidate, *baselines)]
    if not all(answered):
        return
    opened = [
        evaluations.open_evaluation(
            project=turn.project, candidate=candidate, baseline=baseline, iteration=turn.iteration
        )
        for baseline in baselines
    ]
    judged = [_is_judged(turn, evaluation) for evaluation in opened]
    compared = [_is_compared(turn, evaluation) for evaluation in opened]
    if not all(judged):
        return
    estimate = _estimate(turn, opened, are_final=all(compared))
    if all(compared) and estimate is not None:
        _decide(turn, opened[0], estimate)
    elif turn.now > opened[0].created_at + timedelta(hours=turn.settings.people_timeout_hours):
        _time_out(turn, opened)


def finish(turn: Turn) -> None:
    reason = f"{turn.settings.num_rounds} rounds are done"
    _stop(turn, Project.State.FINISHED, reason)


def annotated(turn: Turn) -> QuerySet[Prompt]:
    """Held-out prompts that people were asked to write or rank answers for."""
    kinds = (Protocol.Kind.DEMONSTRATE, Protocol.Kind.RANK)
    asked = batches.work(project=turn.project).filter(kind__in=kinds).exclude(state=Task.State.CLOSED)
    return Prompt.objects.filter(project=turn.project, split=Split.HELD_OUT, pk__in=asked.values("prompt"))


def _has_answered(turn: Turn, version: ModelVersion) -> bool:
    """Ask for the answers that a version has not given yet; true once they are there."""
    key = f"sample/{turn.iteration}/evaluation/{version.name}"
    if is_asked(turn, key):
        return succeeded(turn, key) is not None
    missing = (
        annotated(turn).exclude(evaluations.answered_by(version=version)).order_by("id").values_list("pk", flat=True)
    )
    prompt_ids = list(missing)
    if prompt_ids:
        ask(
            turn,
            Run.Kind.SAMPLE,
            key,
            purpose=evaluations.EVALUATION,
            configuration=turn.configuration("sample", sampling={"num_samples": 1}),
            selection={"prompt_ids": prompt_ids},
            policy=version,
        )
    return not prompt_ids


def _is_judged(turn: Turn, evaluation: Evaluation) -> bool:
    """By the reward model of the round; what other judges say is not waited for."""
    reward = version_named(turn, f"rm{turn.iteration}")
    assert reward is not None  # the candidate was trained against it
    return judging.by_reward_model(turn, evaluation, reward) is not None


def _is_compared(turn: Turn, evaluation: Evaluation) -> bool:
    """Open a task for each of the chosen prompts; true once none of them is open."""
    batch = f"compare/{turn.iteration}/{evaluation.baseline.name}"
    prompts = evaluations.answered_by_both(evaluation=evaluation).filter(split=Split.HELD_OUT)
    tasks = Task.objects.filter(project=turn.project, batch=batch)
    limit = turn.settings.num_compare_tasks
    if tasks.count() < min(limit, prompts.count()):
        # The same prompts for every baseline: then both comparisons read the candidate's answer once.
        chosen = choice.among(prompts=prompts, project=turn.project, purpose=f"compare/{turn.iteration}", limit=limit)
        batches.open_comparisons(evaluation=evaluation, prompts=chosen, batch=batch)
    return not tasks.filter(state=Task.State.OPEN).exists()


def _estimate(turn: Turn, opened: list[Evaluation], *, are_final: bool) -> Run | None:
    """The estimate run of exactly the verdicts there are; the first as soon as the reward model's are, then the final.

    A plan key counts the verdicts, and those that were taken back, so every time that others are there the step has a
    key of its own: "40" or, after two were revised, "40-2".
    """
    num_verdicts = evaluations.visible_verdicts().filter(evaluation__in=opened).count()
    num_withdrawn = Verdict.objects.filter(evaluation__in=opened, withdrawn_at__isnull=False).count()
    there = f"{num_verdicts}-{num_withdrawn}" if num_withdrawn else str(num_verdicts)
    prefix = f"freeze/verdicts/{turn.iteration}/"
    last = Run.objects.filter(project=turn.project, plan_key__startswith=prefix).order_by("-id").first()
    asked = there if last is None or is_asked(turn, prefix + there) else last.plan_key.removeprefix(prefix)
    estimate = _estimate_of(turn, opened, asked)
    if estimate is None or estimate.snapshot is None:
        return None
    # More may have come in before the freeze; what was taken back since then is no longer in it.
    if estimate.snapshot.num_rows == num_verdicts and int(asked.partition("-")[2] or 0) == num_withdrawn:
        return estimate
    if are_final:
        _estimate_of(turn, opened, there)
    return None


def _estimate_of(turn: Turn, opened: list[Evaluation], verdicts: str) -> Run | None:
    selection = {"dataset": "verdicts", "evaluations": [evaluation.pk for evaluation in opened]}
    snapshot = made_snapshot(turn, f"freeze/verdicts/{turn.iteration}/{verdicts}", selection)
    if snapshot is None:
        return None
    return ask(turn, Run.Kind.ESTIMATE, f"estimate/{turn.iteration}/{verdicts}", configuration={}, snapshot=snapshot)


def _decide(turn: Turn, evaluation: Evaluation, run: Run) -> None:
    """By people on held-out prompts; who asked for no comparisons gets every candidate."""
    people = Estimate.objects.filter(
        run=run, attempt=run.attempt, evaluation=evaluation, judge__kind=Judge.Kind.PEOPLE, split=Split.HELD_OUT
    ).first()
    with transaction.atomic():
        if people is not None:
            versions.decide(candidate=evaluation.candidate, baseline=evaluation.baseline, estimate=people, now=turn.now)
        elif turn.settings.num_compare_tasks == 0:
            versions.promote_untested(candidate=evaluation.candidate, baseline=evaluation.baseline, now=turn.now)
        else:
            versions.reject_uncompared(candidate=evaluation.candidate, baseline=evaluation.baseline, now=turn.now)
        _pause_after_losses(turn)


def _time_out(turn: Turn, opened: list[Evaluation]) -> None:
    for evaluation in opened:
        batches.close(project=turn.project, batch=f"compare/{turn.iteration}/{evaluation.baseline.name}")
    with transaction.atomic():
        versions.reject_late(
            candidate=opened[0].candidate,
            baseline=opened[0].baseline,
            hours=turn.settings.people_timeout_hours,
            now=turn.now,
        )
        _pause_after_losses(turn)


def _pause_after_losses(turn: Turn) -> None:
    losses = versions.num_losses(project=turn.project)
    if losses >= turn.settings.max_losses > 0:
        _stop(turn, Project.State.PAUSED, f"{losses} candidates in a row were not promoted: look at them, then resume")


def _stop(turn: Turn, state: str, reason: str) -> None:
    Project.objects.filter(pk=turn.project.pk, state=Project.State.ACTIVE).update(state=state, state_reason=reason)
