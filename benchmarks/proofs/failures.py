"""Injected failures raise their own alarm within 20 iterations; healthy runs of the same size raise none.

Every run is PPO from the SFT version with the demo's configuration, a reward model, and another one of other labels
that only looks on. Thresholds (rlhf/learning/alarms.py) were fixed on the worlds of `calibration_seeds` (units
"calibration/..."); what is claimed is measured on other worlds, with other seeds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from benchmarks.proofs import injections
from benchmarks.proofs.numbers import Found, Number, Proof, share
from benchmarks.proofs.sizes import Sizes
from benchmarks.proofs.world import World
from rlhf.learning import alarms
from rlhf.learning.configs import TextConfig
from rlhf.learning.policy import load_tokenizer
from rlhf.learning.text import encode_prompt

HEALTHY = "healthy"
# The alarms that may name each failure: any other one doesn't count as caught.
FAILURES: Mapping[str, tuple[str, ...]] = {
    "dropout": ("first ratio is not 1",),
    "temperature": ("sampler and trainer disagree",),
    "length": ("length drifts", "reward is length", "held-out reward does not follow"),
    "beta": ("nothing holds the policy", "KL budget is spent", "held-out reward does not follow"),
    "truncation": ("prompts are truncated",),
}
DOSES = {
    "dropout": f"dropout of {injections.DROPOUT} on the policy's embeddings",
    "temperature": f"sampler at temperature {injections.SAMPLER_TEMPERATURE}, trainer at 1",
    "length": f"{injections.SCORE_PER_TOKEN} standard deviations of the reward for each token",
    "beta": "KL coefficient 0 instead of 0.1",
    "truncation": f"max_prompt_tokens that cuts at least {injections.TRUNCATED_SHARE:.0%} of prompts",
}
MIN_CAUGHT = 0.9
MAX_FALSE = 1 / 60


def units(sizes: Sizes) -> list[str]:
    """`phase/world seed/kind/run`; the run is PPO's seed, other for every run of a phase."""
    keys = []
    for phase, seeds, ill, healthy in (
        ("calibration", sizes.calibration_seeds, sizes.calibration_runs, 2 * sizes.calibration_runs),
        ("proof", sizes.seeds, sizes.runs_per_failure, sizes.num_healthy),
    ):
        for kind, count in [*((kind, ill) for kind in FAILURES), (HEALTHY, healthy)]:
            keys += [f"{phase}/{seeds[run % len(seeds)]}/{kind}/{run}" for run in range(count)]
    return keys


def compute(worlds: Path, key: str, sizes: Sizes) -> Found:
    """Which alarm was raised at which iteration, and the highest value of what each alarm looks at."""
    _, seed, kind, run = key.split("/")
    world = World(worlds / seed, int(seed), sizes)
    sft, reward, held_out = networks(world)
    settings = world.settings("ppo")
    batch = min(64, sizes.alarm_rollouts)
    fields: dict[str, Any] = {
        "engine": settings["engine"] | {"seed": 1_000 * int(seed) + 10 * int(run) + 7},
        "num_iterations": sizes.alarm_iterations,
        "rollouts_per_iteration": sizes.alarm_rollouts,
        "minibatch_size": batch,
        "micro_batch_size": batch,
        "kl_coefficient": 0.0 if kind == "beta" else settings["kl_coefficient"],
    }
    if kind == "truncation":
        fields["text"] = settings["text"] | {"max_prompt_tokens": short_limit(world, sft)}
    paths = {"model": sft, "reward_model": reward, "sft_model": sft, "held_out_reward_model": held_out}
    with injected(kind):
        folder = world.run(
            "ppo", "alarms-" + key.replace("/", "-"), world.prompts(world.ppo_prompts), **paths, **fields
        )
    return read(folder)


def networks(world: World) -> tuple[Path, Path, Path]:
    """SFT version, reward model, and a reward model of labels on other prompts."""
    sft, half = world.sft(), world.sizes.num_ranking_prompts
    labels = world.labels()
    return (
        sft,
        world.reward("reward-one", labels[:half], sft),
        world.reward("reward-other", labels[half : 2 * half], sft),
    )


def injected(kind: str) -> AbstractContextManager[None]:
    match kind:
        case "dropout":
            return injections.dropout()
        case "temperature":
            return injections.sampler_temperature()
        case "length":
            return injections.length_bias()
    return nullcontext()


def short_limit(world: World, model: Path) -> int:
    """The largest number of tokens that at least TRUNCATED_SHARE of prompts are longer than."""
    tokenizer = load_tokenizer(str(model))
    lengths = sorted(
        len(encode_prompt(tokenizer, world.prompt(i).messages, TextConfig(prompt_format="chat")))
        for i in world.ppo_prompts
    )
    return lengths[int((1 - injections.TRUNCATED_SHARE) * len(lengths))] - 1


def read(folder: Path) -> Found:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    raised = {line["alarm"]: line["step"] for line in lines if line["phase"] == "alarm"}
    history = [line for line in lines if line["phase"] == "train"]
    highest = {}
    for rule in alarms.CHECKS:
        values = [rule.measure(history[: place + 1]) for place in range(len(history))]
        known = [value for value in values if value is not None]
        if known:
            highest[rule.name] = max(known)
    return {"raised": raised, "highest": highest}


def numbers(found: Mapping[str, Found], sizes: Sizes) -> list[Number]:
    rows = []
    for kind, names in FAILURES.items():
        runs = _of(found, "proof", kind)
        caught = sum(any(name in names for name in run["raised"]) for run in runs)
        rate = share(caught, len(runs))
        rows.append(
            Number(f"{kind} ({DOSES[kind]}): caught, of {len(runs)}", *rate, "at least 0.9", rate[0] >= MIN_CAUGHT)
        )
        steps = [
            min(step for name, step in run["raised"].items() if name in names) for run in runs if _caught(run, names)
        ]
        if steps:
            rows.append(Number(f"{kind}: slowest alarm, iterations", max(steps)))
    healthy = _of(found, "proof", HEALTHY)
    rate = share(sum(bool(run["raised"]) for run in healthy), len(healthy))
    rows.append(Number(f"healthy runs that alarm, of {len(healthy)}", *rate, "at most 1/60", rate[0] <= MAX_FALSE))
    return rows + calibration(found)


def calibration(found: Mapping[str, Found]) -> list[Number]:
    """What thresholds were fixed between: the highest of healthy runs, and the lowest peak of failures."""
    rows = []
    for rule in alarms.CHECKS:
        well = [run["highest"][rule.name] for run in _of(found, "calibration", HEALTHY) if rule.name in run["highest"]]
        if well:
            rows.append(Number(f"calibration, {rule.name}: highest of {len(well)} healthy runs", max(well)))
        for kind, names in FAILURES.items():
            ill = [run["highest"].get(rule.name, 0.0) for run in _of(found, "calibration", kind)]
            if rule.name in names and ill:
                rows.append(Number(f"calibration, {rule.name}: lowest of {len(ill)} runs with {kind}", min(ill)))
        rows.append(Number(f"calibration, {rule.name}: threshold", rule.threshold))
    return rows


def _of(found: Mapping[str, Found], phase: str, kind: str) -> list[Found]:
    return [run for key, run in found.items() if key.split("/")[0] == phase and key.split("/")[2] == kind]


def _caught(run: Found, names: tuple[str, ...]) -> bool:
    return any(name in names for name in run["raised"])


PROOF = Proof(
    "failures", "Five injected failures are caught in 9 of 10 seeds, 1 of 60 healthy runs alarms at most.",
    units, compute, numbers,
)  # fmt: skip
