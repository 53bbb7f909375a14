"""What a run of each kind takes: the versions behind its model fields, and whether they suffice."""

from __future__ import annotations

from rlhf.errors import Refusal
from rlhf.learning import configs
from rlhf.models import ModelVersion, Run

# Which of a run's versions stands in which model field of the kind's configuration: the first one that is given.
MODELS: dict[str, dict[str, tuple[str, ...]]] = {
    Run.Kind.SFT: {"model": ("policy",)},
    # A new head is put on the SFT version; scores get unit deviation on samples of the policy.
    Run.Kind.REWARD: {"model": ("reward_model", "sft", "policy"), "policy": ("policy",)},
    Run.Kind.SAMPLE: {"model": ("policy",)},
    Run.Kind.BEST_OF_N: {"model": ("policy",), "reward_model": ("reward_model",)},
    Run.Kind.PPO: {"model": ("policy",), "reward_model": ("reward_model",), "sft_model": ("sft",)},
    Run.Kind.DPO: {"model": ("policy",)},
    Run.Kind.GRPO: {"model": ("policy",), "reward_model": ("reward_model",)},
    Run.Kind.JUDGE: {"reward_model": ("reward_model",)},
    Run.Kind.FREEZE: {},
    Run.Kind.ESTIMATE: {},
    Run.Kind.DELIVER: {"model": ("policy",)},
}
# Model fields that a run can do without; the configuration says what it then needs instead.
OPTIONAL = {
    Run.Kind.REWARD: {"policy"},
    Run.Kind.GRPO: {"reward_model"},
    Run.Kind.JUDGE: {"reward_model"},  # who judges without one: a language model, a verifier
}
RIVALS = (ModelVersion.Kind.ANSWERS, ModelVersion.Kind.ENDPOINT)  # versions without weights


class BadRun(Refusal):
    """What was asked of a run can't be done by its kind."""


def check(*, run: Run) -> None:
    """Raises BadRun that names the field, what was found and what was expected."""
    if run.kind not in MODELS:
        raise BadRun(f"kind: expected one of {', '.join(MODELS)}, found {run.kind!r}")
    given = models(run=run)
    missing = sorted(set(MODELS[run.kind]) - set(given) - OPTIONAL.get(Run.Kind(run.kind), set()))
    if missing:
        raise BadRun(f"a {run.kind} run needs a version for {', '.join(missing)}, found none")
    if run.kind == Run.Kind.FREEZE:
        if run.configuration:
            raise BadRun(f"a freeze run has no configuration, found {sorted(run.configuration)}")
        return
    for field, version in given.items():
        if version.kind in RIVALS and (run.kind, version.kind) != (Run.Kind.SAMPLE, ModelVersion.Kind.ENDPOINT):
            raise BadRun(f"{field}: {version.name} is no model that a {run.kind} run can load, found {version.kind}")
    fixed = sorted(set(run.configuration) & set(MODELS[run.kind]))
    if fixed:
        raise BadRun(f"configuration: {', '.join(fixed)} comes from the run's versions, leave it out")
    try:
        configs.from_dict(run.kind, {**run.configuration, **dict.fromkeys(given, "-")})
    except configs.ConfigError as error:
        raise BadRun(f"configuration: {error}") from error


def models(*, run: Run) -> dict[str, ModelVersion]:
    """The versions behind the model fields of the kind's configuration."""
    given = {
        field: next((version for name in names if (version := getattr(run, name)) is not None), None)
        for field, names in MODELS.get(run.kind, {}).items()  # an import is never checked, but shown
    }
    return {field: version for field, version in given.items() if version is not None}
