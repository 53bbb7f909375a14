"""What comes next: the one place that knows the order of the loop.

Each step asks what is missing and asks for it under a unique key, so planning twice, or from two processes, plans once.

The same labels give the same weights, whatever crashes on the way, because
- a run's seed is a hash of the project's seed and its plan key, and plan keys hold no database id;
- prompts are chosen by hash, once per step, and the choice is stored with the run;
- a dataset is frozen when all its tasks are settled, and its rows are in an order that the tasks decide, not the clock;
  a task that opens again after that, because its answer was set aside, holds nothing up;
- a decision waits until every comparison is in, and reads an estimate of exactly those;
- a run that is started again goes on exactly from its checkpoint.
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet

from annotate import batches, protocols
from annotate.models import Demonstration, Protocol, Task
from rlhf import completions, loop_settings, versions
from rlhf.models import ModelVersion, Project, Promotion, Run, Split
from workers import choice, decision, judging, training
from workers.turn import Turn, ask, is_asked, made_snapshot, succeeded, version_named

DEMONSTRATIONS = "demonstrations"


def plan(*, project: Project, now: datetime) -> None:
    """Ask for whatever an active project lacks next. Raises BadLoopSettings."""
    settings = loop_settings.parse(project.loop)
    num_decided = -1
    # A decision opens the next iteration at once: nothing queued afterwards means that people are next.
    while num_decided != (found := Promotion.objects.filter(project=project).count()):
        if num_decided >= 0 and not Project.objects.filter(pk=project.pk, state=Project.State.ACTIVE).exists():
            return  # the decision has paused it
        num_decided = found
        turn = Turn(project=project, settings=settings, now=now, iteration=num_decided)
        _plan(turn)
        judging.plan(turn)


def _plan(turn: Turn) -> None:
    if turn.iteration == 0:
        _plan_first_version(turn)
    elif turn.settings.num_rounds is not None and turn.iteration > turn.settings.num_rounds:
        decision.finish(turn)
    else:
        _plan_iteration(turn)


def _plan_first_version(turn: Turn) -> None:
    """Demonstrations -> SFT -> v0; without demonstrations the base model is v0."""
    if turn.settings.num_demonstrations == 0:
        base = turn.project.base_model
        first = versions.register(project=turn.project, kind=ModelVersion.Kind.BASE, name="v0", number=0, source=base)
        versions.promote_first(version=first, now=turn.now)
        return
    freeze = f"freeze/{DEMONSTRATIONS}"
    if not (is_asked(turn, freeze) or _demonstrations_are_in(turn)):
        return
    snapshot = made_snapshot(turn, freeze, {"dataset": DEMONSTRATIONS})
    if snapshot is None:
        return
    base_version = versions.base(project=turn.project)
    configuration = turn.configuration("sft")
    sft = ask(turn, "sft", "sft", configuration=configuration, policy=base_version, snapshot=snapshot)
    if sft is not None and sft.made_version is not None:
        versions.promote_first(version=sft.made_version, now=turn.now)


def _demonstrations_are_in(turn: Turn) -> bool:
    """Open as many tasks as are missing; true once there are enough and none of the tasks is open."""
    missing = _missing_demonstrations(turn)
    prompts = [
        prompt
        for split, limit in missing.items()
        for prompt in choice.fresh(project=turn.project, split=split, purpose=DEMONSTRATIONS, limit=limit)
    ]
    if prompts:
        with transaction.atomic():
            # Of two planners that have counted the same, the second one waits here and then finds nothing missing.
            Project.objects.select_for_update(no_key=True).get(pk=turn.project.pk)
            if missing == _missing_demonstrations(turn):
                batches.open_demonstrations(project=turn.project, prompts=prompts, batch=DEMONSTRATIONS)
    num_written = _demonstrations(turn).count()
    return num_written >= turn.settings.num_demonstrations and not _tasks(turn).filter(state=Task.State.OPEN).exists()


def _missing_demonstrations(turn: Turn) -> dict[Split, int]:
    """Tasks yet to be opened. Held-out ones in the project's proportion: on those SFT is measured."""
    num_asked = _tasks(turn).filter(prompt__split=Split.TRAIN).count()
    num_imported = _demonstrations(turn).filter(submission=None).count()
    num_missing = max(0, turn.settings.num_demonstrations - num_asked - num_imported)
    share = turn.project.held_out_share
    num_held_out = round((num_asked + num_missing) * share / (1 - share))
    num_held_out_asked = _tasks(turn).filter(prompt__split=Split.HELD_OUT).count()
    return {Split.TRAIN: num_missing, Split.HELD_OUT: max(0, num_held_out - num_held_out_asked)}


def _tasks(turn: Turn) -> QuerySet[Task]:
    return Task.objects.filter(project=turn.project, batch=DEMONSTRATIONS).exclude(state=Task.State.CLOSED)


def _demonstrations(turn: Turn) -> QuerySet[Demonstration]:
    return Demonstration.objects.filter(project=turn.project, counts=True, prompt__split=Split.TRAIN)


def _plan_iteration(turn: Turn) -> None:
    """Rankings -> reward model -> training of the policy -> the candidate's evaluation."""
    current, first = versions.current(project=turn.project), version_named(turn, "v0")
    assert current is not None and first is not None  # the first version was promoted
    freeze = f"freeze/rankings/{turn.iteration}"
    if not (is_asked(turn, freeze) or _rankings_are_in(turn, current)):
        return
    old_weight = turn.settings.old_rankings_weight
    selection = {"dataset": "rankings", "iteration": turn.iteration, "old_weight": old_weight}
    rankings = made_snapshot(turn, freeze, selection)
    if rankings is None:
        return
    candidate = training.candidate(turn, current, first, rankings)
    if candidate is not None:
        decision.evaluate(turn, candidate, current, first)


def _rankings_are_in(turn: Turn, current: ModelVersion) -> bool:
    """Sample, open a task for every prompt with answers that differ; true once none of the tasks is open."""
    batch = f"rank/{turn.iteration}"
    sample = _ranking_samples(turn, current)
    if sample is None:
        return False
    tasks = Task.objects.filter(project=turn.project, batch=batch)
    # Opening is in batches: what a crash left out is opened now.
    if tasks.count() < completions.num_worth_ranking(run=sample):
        grouped = [completions.distinct(completions=rows) for rows in completions.by_prompt(run=sample).values()]
        worth_ranking = [completion for rows in grouped if len(rows) > 1 for completion in rows]
        batches.open_rankings(project=turn.project, batch=batch, iteration=turn.iteration, completions=worth_ranking)
    return tasks.filter(state=Task.State.DONE).exists() and not tasks.filter(state=Task.State.OPEN).exists()


def _ranking_samples(turn: Turn, current: ModelVersion) -> Run | None:
    key = f"sample/{turn.iteration}/ranking"
    if is_asked(turn, key):
        return succeeded(turn, key)
    num_samples = protocols.protocol(project=turn.project, kind=Protocol.Kind.RANK).num_completions
    return ask(
        turn,
        "sample",
        key,
        purpose="ranking",
        configuration=turn.configuration("sample", sampling={"num_samples": num_samples}),
        selection={"prompt_ids": _ranking_prompts(turn)},
        policy=current,
    )


def _ranking_prompts(turn: Turn) -> list[int]:
    limits = {
        Split.TRAIN: turn.settings.num_ranking_prompts,
        Split.HELD_OUT: turn.settings.num_held_out_ranking_prompts,
    }
    return [
        prompt.pk
        for split, limit in limits.items()
        for prompt in choice.fresh_first(
            project=turn.project, split=split, purpose=f"rank/{turn.iteration}", limit=limit
        )
    ]
