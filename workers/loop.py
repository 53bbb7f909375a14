"""What comes next: the one place that knows the order of the loop.

Each step asks what is missing and asks for it under a unique key, so planning twice, or from two processes, plans once.

The same labels give the same weights, whatever crashes on the way, because
- a run's seed is a hash of the project's seed and its plan key, and plan keys hold no database id;
- prompts are chosen by hash, once per step, and the choice is stored with the run;
- a dataset is frozen when all its tasks are settled, and its rows are in an order that the tasks decide, not the clock;
- a decision waits until every comparison is in, and reads an estimate of exactly those;
- a run that is started again goes on exactly from its checkpoint.
"""

from __future__ import annotations

from datetime import datetime

from annotate import batches, protocols
from annotate.models import Demonstration, Protocol, Task
from rlhf import completions, loop_settings, versions
from rlhf.models import DatasetSnapshot, ModelVersion, Project, Promotion, Run, Split
from workers import choice, decision
from workers.turn import Turn, ask, is_asked, made_snapshot, succeeded, version_named

DEMONSTRATIONS = "demonstrations"


def plan(*, project: Project, now: datetime) -> None:
    """Ask for whatever an active project lacks next. Raises BadLoopSettings."""
    settings = loop_settings.parse(project.loop)
    num_decided = Promotion.objects.filter(project=project).count()
    turn = Turn(project=project, settings=settings, now=now, iteration=num_decided)
    if num_decided == 0:
        _plan_first_version(turn)
    elif settings.num_rounds is not None and num_decided > settings.num_rounds:
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
    if not _demonstrations_are_in(turn):
        return
    snapshot = made_snapshot(turn, f"freeze/{DEMONSTRATIONS}", {"dataset": DEMONSTRATIONS})
    if snapshot is None:
        return
    base_version = versions.base(project=turn.project)
    configuration = turn.configuration("sft")
    sft = ask(turn, "sft", "sft", configuration=configuration, policy=base_version, snapshot=snapshot)
    if sft is not None and sft.made_version is not None:
        versions.promote_first(version=sft.made_version, now=turn.now)


def _demonstrations_are_in(turn: Turn) -> bool:
    """Open as many tasks as are missing; true once there are enough and none of the tasks is open."""
    project, wanted = turn.project, turn.settings.num_demonstrations
    tasks = Task.objects.filter(project=project, batch=DEMONSTRATIONS).exclude(state=Task.State.CLOSED)
    counted = Demonstration.objects.filter(project=project, counts=True, prompt__split=Split.TRAIN)
    num_asked = tasks.filter(prompt__split=Split.TRAIN).count()
    num_missing = max(0, wanted - num_asked - counted.filter(submission=None).count())
    # Held-out prompts in the project's proportion: on those SFT is measured.
    share = project.held_out_share
    num_held_out = round((num_asked + num_missing) * share / (1 - share))
    missing = {
        Split.TRAIN: num_missing,
        Split.HELD_OUT: max(0, num_held_out - tasks.filter(prompt__split=Split.HELD_OUT).count()),
    }
    for split, limit in missing.items():
        prompts = choice.fresh(project=project, split=split, purpose=DEMONSTRATIONS, limit=limit)
        if prompts:
            batches.open_demonstrations(project=project, prompts=prompts, batch=DEMONSTRATIONS)
    return counted.count() >= wanted and not tasks.filter(state=Task.State.OPEN).exists()


def _plan_iteration(turn: Turn) -> None:
    """Rankings -> reward model -> best-of-N -> PPO -> the candidate's evaluation."""
    current, first = versions.current(project=turn.project), version_named(turn, "v0")
    assert current is not None and first is not None  # the first version was promoted
    if not _rankings_are_in(turn, current):
        return
    old_weight = turn.settings.old_rankings_weight
    selection = {"dataset": "rankings", "iteration": turn.iteration, "old_weight": old_weight}
    rankings = made_snapshot(turn, f"freeze/rankings/{turn.iteration}", selection)
    if rankings is None:
        return
    candidate = _candidate(turn, current, first, rankings)
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


def _candidate(
    turn: Turn, current: ModelVersion, first: ModelVersion, rankings: DatasetSnapshot
) -> ModelVersion | None:
    """Reward model, best-of-N from the current version, PPO from its result; None until PPO has succeeded."""
    t = turn.iteration
    # A reward model goes on from the one before it: the old rankings are in its data too, at less weight.
    earlier = version_named(turn, f"rm{t - 1}")
    reward = ask(
        turn,
        "reward",
        f"reward/{t}",
        configuration=turn.configuration("reward"),
        policy=first,
        reward_model=earlier,
        snapshot=rankings,
    )
    if reward is None:
        return None
    best = _policy_run(turn, "best_of_n", turn.settings.num_best_of_n_prompts, policy=current, reward=reward)
    if best is None:
        return None
    ppo = _policy_run(turn, "ppo", turn.settings.num_ppo_prompts, policy=best.made_version, reward=reward, sft=first)
    return None if ppo is None else ppo.made_version


def _policy_run(
    turn: Turn,
    kind: str,
    num_prompts: int,
    *,
    policy: ModelVersion | None,
    reward: Run,
    sft: ModelVersion | None = None,
) -> Run | None:
    key = f"{kind}/{turn.iteration}"
    if is_asked(turn, key):
        return succeeded(turn, key)
    prompts = choice.in_order(project=turn.project, split=Split.TRAIN, purpose=key, limit=num_prompts)
    return ask(
        turn,
        kind,
        key,
        configuration=turn.configuration(kind),
        selection={"prompt_ids": [prompt.pk for prompt in prompts]},
        policy=policy,
        reward_model=reward.made_version,
        sft=sft,
    )
