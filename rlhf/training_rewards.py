"""Which reward models a version was trained against: a judge that was the training reward proves nothing about it."""

from __future__ import annotations

from collections import defaultdict

from rlhf.models import ModelVersion, Project, Run

AGAINST = (Run.Kind.BEST_OF_N, Run.Kind.PPO, Run.Kind.GRPO)  # training of a policy that a reward model steers


def by_reward_model(*, project: Project) -> dict[int, list[int]]:
    """For each reward model, by id, the versions that it was the reward of, through best-of-N too, in order."""
    made = Run.objects.filter(
        project=project, kind__in=AGAINST, state=Run.State.SUCCEEDED, made_version__isnull=False
    ).order_by("id")
    names = dict(ModelVersion.objects.filter(project=project, kind=ModelVersion.Kind.REWARD).values_list("name", "pk"))
    own: dict[int, set[int]] = {}
    before: dict[int, ModelVersion | None] = {}
    for run in made.select_related("made_version__parent").defer("log", "selection", "result"):
        assert run.made_version is not None
        own[run.made_version.pk] = _rewards(run, names)
        before[run.made_version.pk] = run.made_version.parent
    found: dict[int, list[int]] = defaultdict(list)
    for version in sorted(own):
        for reward in _through_best_of_n(version, own, before):
            found[reward].append(version)
    return dict(found)


def _rewards(run: Run, names: dict[str, int]) -> set[int]:
    """The run's own reward model and those that counted beside it, which its configuration names."""
    beside = run.configuration.get("rewards", {})
    named = {*beside.get("models", ()), beside.get("safety_model")} & names.keys()
    return {names[name] for name in named} | ({run.reward_model_id} if run.reward_model_id else set())


def _through_best_of_n(version: int, own: dict[int, set[int]], before: dict[int, ModelVersion | None]) -> set[int]:
    """What steered the version, and the step of best-of-N that it started from; candidates before it are others."""
    rewards = set(own[version])
    parent = before[version]
    while parent is not None and parent.number is None and parent.pk in own:
        rewards |= own[parent.pk]
        parent = before[parent.pk]
    return rewards
