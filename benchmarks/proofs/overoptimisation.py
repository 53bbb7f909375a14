"""A PPO run without KL penalty, past the peak of its gold score, and where Gao et al.'s form saw the peak coming.

From the SFT version, against a reward model of its answers. Every few iterations the policy answers the held-out
prompts; KL is the mean of log pi - log pi_SFT of those answers by the trainer's forward, gold and proxy their scores.
Both forms are fitted to the points up to the measured peak alone; the promise is about the one for reinforcement
learning. In it gold / sqrt(KL) falls from the start on, so how that changes up to the peak says why a fit fails.
Best-of-n by the same reward model is fitted beside it, with the upper bound ln n - (n - 1)/n for its KL.
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
from benchmarks.proofs.numbers import Found, Number, Proof, by_seed, mean
from benchmarks.proofs.sizes import Sizes
from benchmarks.proofs.world import World
from rlhf.learning.configs import TextConfig, from_dict
from rlhf.learning.forward import completion_log_probabilities
from rlhf.learning.policy import Policy, load_policy
from rlhf.learning.reward_model import RewardModel, groups_by_length, last_token_scores, load_trained
from rlhf.learning.sampling import Prompt, sample
from rlhf.learning.stats.expected_best import kl_upper_bound
from rlhf.learning.text import Encoded, decode, encode_prompt, right_pad

Floats = NDArray[np.float64]
TOLERANCE = 0.2  # of the measured peak's sqrt(KL)
POOL, POOL_SHARE = 64, 8  # answers a prompt, of one held-out prompt in so many
NS = (1, 2, 4, 8, 16, 32, 64)
_ROWS = 256
# Early steps of Adam on noisy advantages spend KL that buys nothing: a long warm-up, large batches, returns that no
# untrained value model goes into. Fixed on the worlds of `calibration_seeds`.
FREE = {
    "kl_coefficient": 0.0,
    "optimizer": {"learning_rate": 2e-4, "schedule": "constant", "warmup_share": 0.3},
    "value_learning_rate": 1e-3,
    "gae_lambda": 1.0,
}


def compute(worlds: Path, key: str, sizes: Sizes) -> Found:
    """Points of the run: iteration, KL, and gold per held-out prompt."""
    world = World(worlds / key, int(key), sizes)
    sft = world.sft()
    reward = world.reward("reward-free", world.labels()[: sizes.free_labels], sft)
    found: Found = {"iteration": [], "kl": [], "gold": [], "proxy": []}
    start = load_policy(str(sft), torch.device("cpu"))
    judge = load_trained(str(reward), torch.device("cpu"))

    def look(iteration: int, policy: Policy) -> None:
        if iteration % sizes.free_every == 0:
            measured = measure(world, policy, start, judge)
            found["iteration"].append(iteration)
            for name, value in zip(("kl", "gold", "proxy"), measured, strict=True):
                found[name].append(value)

    found["best_of_n"] = best_of_n(world, reward)
    paths = {"model": sft, "reward_model": reward, "sft_model": sft}
    folder = world.folder / "ppo-free"
    (folder / "result.json").unlink(missing_ok=True)  # its points are seen only while it runs
    with watched(look):
        free = FREE | {"num_iterations": sizes.free_iterations + 1, "rollouts_per_iteration": sizes.free_rollouts}
        batches = {"minibatch_size": sizes.free_rollouts // 2, "micro_batch_size": min(64, sizes.free_rollouts // 2)}
        world.run("ppo", "ppo-free", world.prompts(world.ppo_prompts), **paths, **free, **batches)
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
def measure(world: World, policy: Policy, start: Policy, judge: RewardModel) -> tuple[float, list[float], float]:
    """KL to the start in nats a completion, gold of one answer to each held-out prompt, and their mean proxy score."""
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
    total = proxy = 0.0
    for rows in groups_by_length([sequence.length for sequence in sequences], _ROWS):
        batch = right_pad([sequences[row] for row in rows], policy.pad_id, torch.device("cpu"))
        ours = completion_log_probabilities(policy.model, batch)
        total += float((ours - completion_log_probabilities(start.model, batch)).sum())
        proxy += float(judge.normalised(last_token_scores(judge, batch)).sum())
    scores = [world.gold(s.prompt_id, decode(policy.tokenizer, s.ids)) for s in drawn]
    return total / len(drawn), scores, proxy / len(drawn)


def peaks(kl: Floats, gold: Floats) -> tuple[float, tuple[gao.Curve, ...]]:
    """sqrt(KL) of the measured peak, and each of `gao.FORMS` fitted to the points up to it. kl: (n,), gold: (n,), start
    first."""
    d, gained = np.sqrt(np.maximum(kl[1:], 1e-6)), gold[1:] - gold[0]
    top = gao.highest(d, gained)
    before = d <= d[top]
    if before.sum() < 2:
        return float(d[top]), tuple(gao.Curve(form, math.nan, math.nan, math.nan) for form in gao.FORMS)
    return float(d[top]), tuple(gao.fit(form, d[before], gained[before]) for form in gao.FORMS)


def numbers(found: Mapping[str, Found], sizes: Sizes) -> list[Number]:
    return [number for seed, unit in found.items() for number in _of_run(seed, unit, sizes)]


def _of_run(seed: str, unit: Found, sizes: Sizes) -> list[Number]:
    kl, gold = np.array(unit["kl"]), np.array(unit["gold"])  # (n,), (n, P)
    title, means = f"seed {seed}", gold.mean(1)
    best = int(means.argmax())
    lost = mean(gold[best] - gold[-1])
    past = lost[1] > 0
    rows = [
        Number(f"{title}: gold at the start", float(means[0])),
        Number(f"{title}: gold at its peak", float(means[best])),
        Number(f"{title}: gold at the end, sqrt(KL) {math.sqrt(max(0.0, kl[-1])):.2f}", float(means[-1])),
        Number(f"{title}: gold lost after the peak", *lost, "interval above 0: the run went past its peak", past),
        Number(f"{title}: proxy gained until the end", unit["proxy"][-1] - unit["proxy"][0]),
    ]
    return rows + _of_peak(title, kl, gold, sizes) + _of_best_of_n(title, unit["best_of_n"])


def _of_peak(title: str, kl: Floats, gold: Floats, sizes: Sizes) -> list[Number]:
    """Where the peak is and where each form saw it, with intervals over held-out prompts."""
    drawn = np.random.default_rng(0).integers(gold.shape[1], size=(sizes.num_bootstrap, gold.shape[1]))
    again = [peaks(kl, gold[:, some].mean(1)) for some in drawn]
    measured, curves = peaks(kl, gold.mean(1))
    d, gained = np.sqrt(np.maximum(kl[1:], 1e-6)), gold.mean(1)[1:] - gold[0].mean()
    slopes = (gained / d)[d <= measured]
    third = max(1, len(slopes) // 3)
    turn = float(slopes[:third].mean() / slopes[-third:].mean())
    rows = [
        Number(f"{title}: sqrt(KL) of the peak", measured, *_middle([peak for peak, _ in again])),
        Number(f"{title}: gold / sqrt(KL) of the first third of points up to the peak over that of the last", turn),
    ]
    for place, curve in enumerate(curves):
        ratio, promised = curve.peak / measured, place == 0
        ratios = _middle([some[place].peak / peak for peak, some in again])
        holds = abs(ratio - 1) <= TOLERANCE if promised else None
        whole = gao.fit(curve.form, d, gained)  # as Gao et al. fit theirs: no prediction
        rows += [
            Number(
                f"{title}: predicted over measured sqrt(KL) of the peak, form for {curve.form}",
                ratio,
                *ratios,
                "0.8 to 1.2" if promised else "reported",
                holds,
            ),
            Number(f"{title}: R^2 of that form up to the peak", curve.r_squared),
            Number(f"{title}: R^2 of that form on the whole run", whole.r_squared),
            Number(
                f"{title}: peak of that form, fitted to the whole run, over the measured one", whole.peak / measured
            ),
        ]
    return rows


def _middle(values: list[float]) -> tuple[float, float]:
    """The middle 95 % of bootstrap values, of which some are infinite."""
    low, high = (float(x) for x in np.quantile(values, (0.025, 0.975), method="nearest"))
    return low, high


def _of_best_of_n(title: str, by_n: Mapping[str, float]) -> list[Number]:
    """Gao's form for best-of-n on its upper bounds of the KL; reported."""
    d = [math.sqrt(kl_upper_bound(n)) for n in NS[1:]]
    curve = gao.fit(gao.FORMS[1], d, [by_n[str(n)] - by_n["1"] for n in NS[1:]])
    title = f"{title}, best of n"
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
