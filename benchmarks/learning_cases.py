"""The lines of benchmarks/learning.py: what is run, on what, and how many times faster it is asked to be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import learning_data as data
from benchmarks.learning_data import DEMO, MEDIUM, Size

Job = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One comparison. `write` lays the inputs of a seed into a folder; `job` is what both sides are told."""

    line: str
    name: str
    size: Size
    stage: str
    target: float  # ratio asked for; 0: only reported
    write: Callable[[Path, int], None]
    job: Job = field(default_factory=dict)
    environment: str = "trl"


def cases(quick: bool) -> list[Case]:
    """Every line on both sizes; `quick` takes fewer rows, iterations and turns."""
    found: list[Case] = []
    for size in (DEMO, MEDIUM):
        found += [*reward_cases(size, quick), *sampling_cases(size, quick), sft_case(size, quick)]
        found += [*group_cases(size, quick), ppo_case(size, quick)]
    return sorted(found, key=lambda case: (case.line, case.size is MEDIUM))


def _count(size: Size, quick: bool, demo: int, medium: int) -> int:
    full = demo if size is DEMO else medium
    return max(1, full // 3) if quick else full


def reward_cases(size: Size, quick: bool) -> list[Case]:
    found = []
    for num_completions, target in ((2, 1.5), (4, 0.0), (9, 6.0)):
        pairs = num_completions * (num_completions - 1) // 2
        steps = _count(size, quick, 90, 12)
        batch_size = 8 if size is DEMO else 2
        count, held_out = steps * batch_size, 400 if size is DEMO else 60

        def write(folder: Path, seed: int, count: int = count, k: int = num_completions, held: int = held_out) -> None:
            data.write_rankings(folder, data.rankings(size, count, k, seed, held))

        job = {"batch_size": batch_size, "pairs_per_ranking": pairs, "learning_rate": 1e-3 if size is DEMO else 1e-4}
        found.append(Case("a", f"reward model, K = {num_completions}", size, "reward", target, write, job))
    return found


def sampling_cases(size: Size, quick: bool) -> list[Case]:
    def writer(count: int, length: int) -> Callable[[Path, int], None]:
        return lambda folder, seed: data.write_prompts(folder, data.prompts(size, count, seed, length))

    rows = 64 if size is DEMO else 32
    shares = {DEMO.name: range(40, 61), MEDIUM.name: range(400, 741)}[size.name]  # a word in 37 ends an answer
    turns = {"num_turns": 3 if quick or size is MEDIUM else 6, "num_warmup": 1, "num_samples": 1, "stop_ids": []}
    long = 64 if size is DEMO else 32
    return [
        Case("b", "sampling, equal lengths", size, "sample", 2.0, writer(rows, 64),
             turns | {"max_new_tokens": long, "batch_size": rows}),
        Case("b", "sampling, 16 of a 256-token prompt", size, "sample", 2.3, writer(2, 256),
             turns | {"max_new_tokens": 32, "batch_size": 16, "num_samples": 16}),
        Case("b", "sampling, ragged lengths", size, "sample", 2.9, writer(4 * rows, 16),
             turns | {"max_new_tokens": 128, "batch_size": rows, "stop_ids": list(shares)}),
    ]  # fmt: skip


def sft_case(size: Size, quick: bool) -> Case:
    batch_size = 32 if size is DEMO else 8
    steps = _count(size, quick, 90, 18)
    job = {"batch_size": batch_size, "learning_rate": 2e-3 if size is DEMO else 3e-4}
    return Case(
        "c", "SFT, ragged lengths", size, "sft", 2.0,
        lambda folder, seed: data.write_demonstrations(folder, data.demonstrations(size, steps * batch_size, seed)),
        job,
    )  # fmt: skip


def group_cases(size: Size, quick: bool) -> list[Case]:
    num_prompts, group = (16, 8) if size is DEMO else (2, 8)
    iterations = _count(size, quick, 36, 6)
    job = {
        "num_prompts": num_prompts,
        "group_size": group,
        "micro_batch_size": num_prompts * group,
        "num_iterations": max(iterations, 3),
        "max_new_tokens": 32,
        "learning_rate": 3e-4 if size is DEMO else 3e-5,
        "target_id": int(data.TARGET[1:]) + 2,
        "from_sft": True,
    }

    def write(folder: Path, seed: int) -> None:
        data.write_prompts(folder, data.prompts(size, 256, seed), targets=True)

    return [
        Case("e", "RLOO", size, "group", 3.0, write, job | {"algorithm": "rloo", "kl_coefficient": 0.02}),
        Case("e", "GRPO", size, "group", 3.0, write, job | {"algorithm": "grpo", "kl_coefficient": 0.02}),
    ]


def ppo_case(size: Size, quick: bool) -> Case:
    rollouts = 128 if size is DEMO else 16
    job = {
        "num_rollouts": rollouts,
        "minibatch_size": rollouts // 2,
        "micro_batch_size": rollouts // 2,
        "num_epochs": 2,
        "num_iterations": max(3, _count(size, quick, 18, 4)),
        "max_new_tokens": 48,
        "learning_rate": 1e-4 if size is DEMO else 1e-5,
        "kl_coefficient": 0.05,
        "from_sft": True,
        "with_reward": True,
    }
    return Case(
        "d", "one PPO iteration", size, "ppo", 3.0,
        lambda folder, seed: data.write_prompts(folder, data.prompts(size, 256, seed)), job, "trl_ppo",
    )  # fmt: skip
