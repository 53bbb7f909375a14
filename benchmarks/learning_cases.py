"""The lines of benchmarks/learning.py: what is run, on what, and how many times faster it is asked to be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import learning_data as data
from benchmarks.learning_data import DEMO, MEDIUM, Size

Job = dict[str, Any]
NUM_WARMUP = 2


@dataclass(frozen=True)
class Case:
    """One comparison. `write` lays the inputs of a seed into a folder; `job` is what both sides are told.

    Measured are `num_turns` turns of `steps_per_turn` steps each, after `num_warmup` steps.
    """

    line: str
    name: str
    size: Size
    stage: str
    target: float  # ratio asked for; 0: only reported
    write: Callable[[Path, int], None]
    job: Job = field(default_factory=dict)
    steps_per_turn: int = 1
    num_turns: int = 5
    num_warmup: int = NUM_WARMUP
    environment: str = "trl"  # of the peer; "": none

    @property
    def num_steps(self) -> int:
        return self.num_warmup + self.num_turns * self.steps_per_turn


def cases(quick: bool) -> list[Case]:
    """Every line on both sizes; `quick` takes fewer rows, iterations and turns.

    Of the larger model `quick` leaves out what takes minutes: rankings of 4 and 9, ragged sampling, and lines d and e.
    """
    found: list[Case] = []
    for size in (DEMO, MEDIUM):
        some = quick and size is MEDIUM
        found += [
            *reward_cases(size, quick)[: 1 if some else None],
            *sampling_cases(size, quick)[: 2 if some else None],
            sft_case(size, quick),
        ]
        found += [] if some else [*group_cases(size, quick), ppo_case(size, quick)]
    return sorted(found, key=lambda case: (case.line, case.size is MEDIUM))


def reward_cases(size: Size, quick: bool) -> list[Case]:
    found = []
    for num_completions, target in ((2, 1.5), (4, 0.0), (9, 6.0)):
        pairs = num_completions * (num_completions - 1) // 2
        per_turn = (4 if quick else 12) if size is DEMO else (1 if quick else 3)
        batch_size = {2: 8, 4: 4, 9: 2}[num_completions] if size is DEMO else 2 if num_completions < 9 else 1
        held_out = 400 if size is DEMO else 60
        job = {"batch_size": batch_size, "pairs_per_ranking": pairs, "learning_rate": 1e-3 if size is DEMO else 1e-4}
        count = (NUM_WARMUP + 5 * per_turn) * batch_size

        def write(folder: Path, seed: int, count: int = count, k: int = num_completions, held: int = held_out) -> None:
            data.write_rankings(folder, data.rankings(size, count, k, seed, held))

        name = f"reward model, K = {num_completions}"
        found.append(Case("a", name, size, "reward", target, write, job, steps_per_turn=per_turn))
    return found


def sampling_cases(size: Size, quick: bool) -> list[Case]:
    def writer(count: int, length: int) -> Callable[[Path, int], None]:
        return lambda folder, seed: data.write_prompts(folder, data.prompts(size, count, seed, length))

    rows = 64 if size is DEMO else 32
    shares = {DEMO.name: range(40, 61), MEDIUM.name: range(400, 741)}[size.name]  # a word in 37 ends an answer
    num_turns = 5 if size is DEMO else 3
    turns: Job = {"num_passes": num_turns + 1, "num_samples": 1, "stop_ids": []}
    long = 64 if size is DEMO else 32

    def case(name: str, target: float, write: Callable[[Path, int], None], job: Job) -> Case:
        return Case("b", name, size, "sample", target, write, turns | job, num_turns=num_turns, num_warmup=1)

    return [
        case("sampling, equal lengths", 2.0, writer(rows, 64), {"max_new_tokens": long, "batch_size": rows}),
        case("sampling, 16 of a 256-token prompt", 2.3, writer(2, 256),
             {"max_new_tokens": 32, "batch_size": 16, "num_samples": 16}),
        case("sampling, ragged lengths", 2.9, writer((2 if quick else 4) * rows, 16),
             {"max_new_tokens": 128, "batch_size": rows, "stop_ids": list(shares)}),
    ]  # fmt: skip


def sft_case(size: Size, quick: bool) -> Case:
    batch_size = 32 if size is DEMO else 8
    per_turn = (6 if quick else 18) if size is DEMO else (1 if quick else 3)
    count = -(-(NUM_WARMUP + 5 * per_turn) * batch_size * 8 // 7)  # an eighth is held out
    job = {"batch_size": batch_size, "learning_rate": 2e-3 if size is DEMO else 3e-4}
    return Case(
        "c", "SFT, ragged lengths", size, "sft", 2.0,
        lambda folder, seed: data.write_demonstrations(folder, data.demonstrations(size, count, seed)),
        job, steps_per_turn=per_turn,
    )  # fmt: skip


def group_cases(size: Size, quick: bool) -> list[Case]:
    num_prompts, group = (16, 8) if size is DEMO else (2, 8)
    per_turn = 1 if quick or size is MEDIUM else 6

    def write(folder: Path, seed: int) -> None:
        data.write_prompts(folder, data.prompts(size, 256, seed), targets=True)

    def case(name: str, algorithm: str) -> Case:
        num_turns = 3 if quick and size is MEDIUM else 5
        job = {
            "algorithm": algorithm,
            "kl_coefficient": 0.02,
            "num_prompts": num_prompts,
            "group_size": group,
            "micro_batch_size": num_prompts * group,
            "num_iterations": NUM_WARMUP + num_turns * per_turn,
            "max_new_tokens": 32,
            "learning_rate": 3e-4 if size is DEMO else 3e-5,
            "target_id": int(data.TARGET[1:]) + 2,
            "from_sft": True,
        }
        return Case("e", name, size, "group", 3.0, write, job, per_turn, num_turns)

    return [case("RLOO", "rloo"), case("GRPO", "grpo")]


def ppo_case(size: Size, quick: bool) -> Case:
    rollouts = 128 if size is DEMO else 16
    per_turn = 1 if quick or size is MEDIUM else 3
    num_turns = 3 if quick else 5
    job = {
        "num_rollouts": rollouts,
        "minibatch_size": rollouts // 2,
        "micro_batch_size": rollouts // 2,
        "num_epochs": 2,
        "num_iterations": NUM_WARMUP + num_turns * per_turn,
        "max_new_tokens": 48,
        "learning_rate": 1e-4 if size is DEMO else 1e-5,
        "kl_coefficient": 0.05,
        "from_sft": True,
        "with_reward": True,
    }
    return Case(
        "d", "one PPO iteration", size, "ppo", 3.0,
        lambda folder, seed: data.write_prompts(folder, data.prompts(size, 256, seed)), job,
        per_turn, num_turns, environment="trl_ppo",
    )  # fmt: skip
