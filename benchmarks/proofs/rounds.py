"""Gold rises round by round: labels of the newest version, a reward model on all labels so far, best-of-n, PPO.

What is compared is the gold score of two answers to every held-out prompt, a new version against the one before it,
paired by prompt. The third round is reported and promised nothing: by then there is little left to gain.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from annotate.management.demo import recipe
from benchmarks.proofs.numbers import Found, Number, Proof, by_seed, differences, mean, pooled
from benchmarks.proofs.sizes import Sizes
from benchmarks.proofs.world import World
from benchmarks.rows import Row

PROMISED_ROUNDS = 2


def compute(worlds: Path, key: str, sizes: Sizes) -> Found:
    """Mean gold of each held-out prompt's answers, per version."""
    world = World(worlds / key, int(key), sizes)
    versions, reward, rankings = [world.sft()], world.sft(), list[Row]()
    for number in range(1, sizes.num_rounds + 1):
        version, reward = one_round(world, number, versions[-1], reward, rankings)
        versions.append(version)
    found: Found = {"gold": {}}
    for number, version in enumerate(versions):
        answers = world.completions(version, world.held_out, f"answers-{number}", 2)
        found["gold"][str(number)] = [float(np.mean([world.gold(i, t) for t in texts])) for i, texts in answers.items()]
    return found


def one_round(world: World, number: int, version: Path, reward: Path, rankings: list[Row]) -> tuple[Path, Path]:
    """The next version and its reward model; the round's labels are added to `rankings`."""
    size = world.sizes.num_ranking_prompts
    new = world.rankings(version, range((number - 1) * size, number * size), f"completions-{number}", number)
    old = [row | {"weight": recipe.OLD_RANKINGS_WEIGHT} for row in rankings]
    rankings += new
    reward = world.reward(f"reward-round-{number}", old + new, reward)
    chosen = world.prompts(range(world.sizes.num_best_of_n_prompts))
    best = world.run("best_of_n", f"best_of_n-{number}", chosen, model=version, reward_model=reward) / "model"
    paths = {"model": best, "reward_model": reward, "sft_model": world.sft()}
    return world.run("ppo", f"ppo-{number}", world.prompts(world.ppo_prompts), **paths) / "model", reward


def numbers(found: Mapping[str, Found], sizes: Sizes) -> list[Number]:
    rows = [Number("gold before round 1", *mean(pooled(found, "gold", "0")))]
    for number in range(1, sizes.num_rounds + 1):
        before, after = str(number - 1), str(number)
        rise = mean(differences(pooled(found, "gold", after), pooled(found, "gold", before)))
        promised = number <= PROMISED_ROUNDS
        expected, holds = ("interval above 0", rise[1] > 0) if promised else ("reported", None)
        rows.append(Number(f"gold gained in round {number}", *rise, expected, holds))
        for seed, unit in found.items():
            one = mean(differences(unit["gold"][after], unit["gold"][before]))
            holds = one[1] > 0 if promised else None
            rows.append(Number(f"gold gained in round {number}, seed {seed}", *one, expected, holds))
    return rows


PROOF = Proof("rounds", "Gold rises in rounds 1 and 2.", by_seed, compute, numbers)
