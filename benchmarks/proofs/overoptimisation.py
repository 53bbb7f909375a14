"""A PPO run without KL penalty, past the peak of its gold score, and where Gao et al.'s form saw the peak coming.

Against the reward model of the fewest labels, from the SFT version. Every few iterations the policy answers the
held-out prompts; KL is the mean of log pi - log pi_SFT of those answers by the trainer's forward, gold their score.
The form is fitted to the points up to the measured peak alone. Best-of-n by the same reward model is fitted beside it,
with the upper bound ln n - (n - 1)/n for its KL.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from math import comb
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.proofs import gao
from benchmarks.proofs.injections import watched
from benchmarks.proofs.numbers import Found, Number, Proof, by_seed
from benchmarks.proofs.sizes import Sizes
from benchmarks.proofs.world import World
from rlhf.learning.configs import TextConfig, from_dict
from rlhf.learning.forward import completion_log_probabilities
from rlhf.learning.policy import Policy, load_policy
from rlhf.learning.reward_model import groups_by_length
from rlhf.learning.sampling import Prompt, sample
from rlhf.learning.stats.expected_best import kl_upper_bound
from rlhf.learning.text import Encoded, decode, encode_prompt, right_pad

Floats = NDArray[np.float64]
TOLERANCE = 0.2  # of the measured peak's sqrt(KL)
POOL, POOL_SHARE = 64, 8  # answers a prompt, of one held-out prompt in so many
NS = (1, 2, 4, 8, 16, 32, 64)
_ROWS = 256


def compute(worlds: Path, key: str, sizes: Sizes) -> Found:
    """Points of the run: iteration, KL, and gold per held-out prompt."""
    world = World(worlds / key, int(key), sizes)
    sft = world.sft()
    size = min(sizes.label_sizes)
    reward = world.reward(f"reward-{size}", world.labels()[:size], sft)
    found: Found = {"iteration": [], "kl": [], "gold": []}
    start = load_policy(str(sft), torch.device("cpu"))

    def look(iteration: int, policy: Policy) -> None:
        if iteration % sizes.free_every == 0:
            kl, scores = measure(world, policy, start)
            found["iteration"].append(iteration)
            found["kl"].append(kl)
            found["gold"].append(scores)

    found["best_of_n"] = best_of_n(world, reward)
    paths = {"model": sft, "reward_model": reward, "sft_model": sft}
    folder = world.folder / "ppo-free"
    (folder / "result.json").unlink(missing_ok=True)  # its points are seen only while it runs
    with watched(look):
        free = {"kl_coefficient": 0.0, "num_iterations": sizes.free_iterations + 1}
        world.run("ppo", "ppo-free", world.prompts(world.ppo_prompts), **paths, **free)
    return found


def best_of_n(world: World, reward: Path) -> dict[str, float]:
    """Expected gold of the best of n by the reward model, by n, from pools (`expected_best`'s weights)."""
    prompts = world.held_out[: max(2, len(world.held_out) // POOL_SHARE)]
    answers = world.completions(world.sft(), prompts, "answers-pool", POOL)
    pairs = [(index, text, texts[0]) for index, texts in answers.items() for text in texts]
    scores = np.array(world.scores(reward, pairs, "scores-pool")).reshape(len(prompts), POOL)
    gold = np.array([world.gold(index, text) for index, text, _ in pairs]).reshape(scores.shape)
    ordered = np.take_along_axis(gold, scores.argsort(axis=1, kind="stable"), axis=1).mean(0)  # (POOL,)
    chances = {n: np.array([comb(i, n - 1) / comb(POOL, n) for i in range(POOL)]) for n in NS}
    return {str(n): float(chances[n] @ ordered) for n in NS}


@torch.no_grad()
def measure(world: World, policy: Policy, start: Policy) -> tuple[float, list[float]]:
    """KL to the start in nats a completion, and gold of one answer to each held-out prompt."""
    text = from_dict("sample", world.settings("sample") | {"model": "x"}).text  # type: ignore[union-attr]
    assert isinstance(text, TextConfig)
    prompts = [Prompt(i, encode_prompt(policy.tokenizer, world.prompt(i).messages, text)) for i in world.held_out]
    drawn = sample(
        policy,
        prompts,
        num_samples=1,
        temperature=1.0,
        max_new_tokens=text.max_completion_tokens,
        seed=world.seed,
        batch_size=_ROWS,
    )
    sequences = [Encoded(s.prompt_id, p.ids, s.ids) for p, s in zip(prompts, drawn, strict=True)]
    total = 0.0
    for rows in groups_by_length([sequence.length for sequence in sequences], _ROWS):
        batch = right_pad([sequences[row] for row in rows], policy.pad_id, torch.device("cpu"))
        ours = completion_log_probabilities(policy.model, batch)
        total += float((ours - completion_log_probabilities(start.model, batch)).sum())
    scores = [world.gold(s.prompt_id, decode(policy.tokenizer, s.ids)) for s in drawn]
    return total / len(drawn), scores


def peaks(kl: Floats, gold: Floats) -> tuple[float, float, gao.Curve]:
    """Measured peak and predicted one, as sqrt(KL), and the curve that predicts. kl: (n,), gold: (n,), start first."""
    d, gained = np.sqrt(np.maximum(kl[1:], 1e-6)), gold[1:] - gold[0]
    top = gao.highest(d, gained)
    before = d <= d[top]
    if before.sum() < 2:
        return float(d[top]), math.inf, gao.Curve(gao.FORMS[0], math.nan, math.nan, math.nan)
    curve = gao.fit(gao.FORMS[0], d[before], gained[before])
    return float(d[top]), curve.peak, curve


def numbers(found: Mapping[str, Found], sizes: Sizes) -> list[Number]:
    rows = []
    for seed, unit in found.items():
        kl, gold = np.array(unit["kl"]), np.array(unit["gold"])  # (n,), (n, P)
        measured, predicted, curve = peaks(kl, gold.mean(1))
        drawn = np.random.default_rng(0).integers(gold.shape[1], size=(sizes.num_bootstrap, gold.shape[1]))
        ratios = [one[1] / one[0] for one in (peaks(kl, gold[:, some].mean(1)) for some in drawn)]
        low, high = (float(x) for x in np.quantile(ratios, (0.025, 0.975), method="nearest"))  # some are infinite
        best, last = float(gold.mean(1).max()), float(gold[-1].mean())
        fallen = float((gold[int(gold.mean(1).argmax())] - gold[-1]).mean())
        error = 1.96 * float((gold[int(gold.mean(1).argmax())] - gold[-1]).std()) / math.sqrt(gold.shape[1])
        rows += [
            Number(f"seed {seed}: gold at the start", float(gold[0].mean())),
            Number(f"seed {seed}: gold at its peak", best),
            Number(f"seed {seed}: gold at the end, sqrt(KL) {math.sqrt(max(0.0, kl[-1])):.2f}", last),
            Number(
                f"seed {seed}: gold lost after the peak",
                fallen,
                fallen - error,
                fallen + error,
                "interval above 0: the run went past its peak",
                fallen > error,
            ),
            Number(f"seed {seed}: sqrt(KL) of the peak", measured),
            Number(f"seed {seed}: R^2 of d (alpha - beta ln d) up to the peak", curve.r_squared),
            Number(
                f"seed {seed}: predicted over measured sqrt(KL) of the peak",
                predicted / measured,
                low,
                high,
                "0.8 to 1.2",
                abs(predicted / measured - 1) <= TOLERANCE,
            ),
        ]
        rows += _of_best_of_n(seed, unit["best_of_n"])
    return rows


def _of_best_of_n(seed: str, by_n: Mapping[str, float]) -> list[Number]:
    """Gao's form for best-of-n on its upper bounds of the KL; reported."""
    d = [math.sqrt(kl_upper_bound(n)) for n in NS[1:]]
    curve = gao.fit(gao.FORMS[1], d, [by_n[str(n)] - by_n["1"] for n in NS[1:]])
    title = f"seed {seed}, best of n"
    return [
        Number(f"{title}: gold gained at n = {NS[-1]}, sqrt(KL) at most {d[-1]:.2f}", by_n[str(NS[-1])] - by_n["1"]),
        Number(f"{title}: R^2 of d (alpha - beta d)", curve.r_squared),
        Number(f"{title}: predicted sqrt(KL) of the peak, from upper bounds of the KL", curve.peak),
    ]


PROOF = Proof(
    "overoptimisation",
    "Gao's form, fitted up to the peak, predicts its sqrt(KL) within 20 %.",
    by_seed,
    compute,
    numbers,
)
