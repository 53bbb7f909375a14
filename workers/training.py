"""The training of a round: a reward model, then the policy in the way that the project's loop asks for.

    best_of_n  best-of-N from the current version = v{t}
    ppo        best-of-N from the current version -> PPO from that = v{t}
    grpo       best-of-N from the current version -> GRPO from that = v{t}
    dpo        DPO from the current version, on the same rankings as the reward model = v{t}

A round goes on in the way that it began, whatever the settings say meanwhile: of two that both made v{t} one would be
lost. The reward model is trained in any case, since it judges.
"""

from __future__ import annotations

from typing import Any

from rlhf.models import DatasetSnapshot, ModelVersion, Prompt, Run, Split
from rlhf.prompts import annotated
from workers import choice
from workers.collect import CANDIDATE
from workers.turn import Turn, ask, is_asked, succeeded, version_named


def candidate(turn: Turn, current: ModelVersion, first: ModelVersion, rankings: DatasetSnapshot) -> ModelVersion | None:
    """What the round is to be decided on; None until its training has succeeded."""
    reward = _reward(turn, current, first, rankings)
    if reward is None:
        return None
    way = _way(turn)
    if way == "dpo":
        configuration = turn.configuration("dpo")
        made = ask(turn, "dpo", _key(turn, "dpo"), configuration=configuration, policy=current, snapshot=rankings)
    elif way == "best_of_n":
        made = _on_prompts(turn, "best_of_n", _key(turn, way), policy=current, reward=reward, purpose=CANDIDATE)
    else:
        made = _after_best_of_n(turn, way, current, first, reward)
    return None if made is None else made.made_version


def _reward(turn: Turn, current: ModelVersion, first: ModelVersion, rankings: DatasetSnapshot) -> Run | None:
    # A reward model goes on from the one before it: the old rankings are in its data too, at less weight.
    return ask(
        turn,
        "reward",
        f"reward/{turn.iteration}",
        configuration=turn.configuration("reward"),
        policy=current,
        sft=first,
        reward_model=version_named(turn, f"rm{turn.iteration - 1}"),
        snapshot=rankings,
        demonstrations=_demonstrations(turn),
    )


def _after_best_of_n(turn: Turn, way: str, current: ModelVersion, first: ModelVersion, reward: Run) -> Run | None:
    start: ModelVersion | None = current
    step = f"best_of_n/{turn.iteration}"
    if is_asked(turn, step) or turn.settings.num_best_of_n_prompts:
        best = _on_prompts(turn, "best_of_n", step, policy=current, reward=reward)
        if best is None:
            return None
        start = best.made_version
    extra: dict[str, Any] = {}
    if way == "ppo":
        mixes = turn.settings.ppo.get("ptx_coefficient", 0) > 0
        extra = {"sft": first, "demonstrations": _demonstrations(turn) if mixes else None}
    return _on_prompts(turn, way, _key(turn, way), policy=start, reward=reward, **extra)


def _way(turn: Turn) -> str:
    """What has been asked for in this round, else what the settings say."""
    ways = ("best_of_n", "ppo", "dpo", "grpo")
    return next((way for way in ways if is_asked(turn, _key(turn, way))), turn.settings.policy_training)


def _key(turn: Turn, way: str) -> str:
    """Best-of-N has a key of its own where its result is the candidate: elsewhere it is a step on the way."""
    return f"candidate/{turn.iteration}" if way == "best_of_n" else f"{way}/{turn.iteration}"


def _demonstrations(turn: Turn) -> DatasetSnapshot | None:
    frozen = succeeded(turn, "freeze/demonstrations")
    return None if frozen is None else frozen.made_snapshot


def _on_prompts(
    turn: Turn, kind: str, key: str, *, policy: ModelVersion | None, reward: Run, **arguments: Any
) -> Run | None:
    if is_asked(turn, key):
        return succeeded(turn, key)
    configuration = turn.configuration(kind)
    if kind == "best_of_n" and configuration.get("bag_size", 0):
        arguments["snapshot"] = _bag(turn)
    return ask(
        turn,
        kind,
        key,
        configuration=configuration,
        selection={"prompt_ids": [prompt.pk for prompt in _prompts(turn, kind, key, configuration)]},
        policy=policy,
        reward_model=reward.made_version,
        **arguments,
    )


def _bag(turn: Turn) -> DatasetSnapshot | None:
    """The best answers of the rounds before this one; None before any kept some."""
    kept = Run.objects.filter(
        project=turn.project,
        kind="best_of_n",
        purpose__in=("loop", CANDIDATE),
        state=Run.State.SUCCEEDED,
        iteration__lt=turn.iteration,
        made_snapshot__isnull=False,
    )
    newest = kept.order_by("-iteration", "-id").first()
    return None if newest is None else newest.made_snapshot


def _prompts(turn: Turn, kind: str, key: str, configuration: dict[str, Any]) -> list[Prompt]:
    """Of the train split; where a verifier looks at answers, those that have a target."""
    found = annotated(project=turn.project).filter(split=Split.TRAIN)
    if configuration.get("rewards", {}).get("verifier", "none") != "none":
        found = found.exclude(target="")
    limit = turn.settings.num_best_of_n_prompts if kind == "best_of_n" else turn.settings.num_ppo_prompts
    return choice.among(prompts=found, project=turn.project, purpose=key, limit=limit)
