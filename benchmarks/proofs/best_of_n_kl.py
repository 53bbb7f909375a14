"""KL of best-of-n to the policy, exactly, where every completion can be listed; ln n - (n - 1)/n bounds it from above.

Taking the best of n draws picks a completion of probability p and cumulated probability F (by ascending score) with
probability F^n - (F - p)^n. With atoms p that are small against 1/n the KL is the bound itself; with large ones (a
trained policy says the same thing often) it lies below (Beirami et al. 2024, 2401.01879).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from benchmarks import learning_data
from benchmarks.proofs.numbers import Found, Number, Proof
from benchmarks.proofs.sizes import Sizes
from rlhf.learning.policy import Policy, load_policy
from rlhf.learning.stats.expected_best import kl_upper_bound

Floats = NDArray[np.float64]
NS = (2, 4, 8, 16, 64)
SHARPER = 40.0  # logits of the second policy are this many times the random ones
TOLERANCE = 0.01


def exact_kl(probabilities: ArrayLike, scores: ArrayLike, n: int) -> float:
    """KL(best of n || policy) in nats; equal scores are chosen among in proportion to their probabilities.

    probabilities: (M,), sum 1. scores: (M,).
    """
    p = np.asarray(probabilities, dtype=np.float64)
    _, group = np.unique(np.asarray(scores), return_inverse=True)
    mass = np.bincount(group, weights=p)
    after = np.cumsum(mass)
    before = np.concatenate([[0.0], after[:-1]])
    chosen = after**n - before**n  # probability of each group of equal scores
    known = (chosen > 0) & (mass > 0)
    return float((chosen[known] * np.log(chosen[known] / mass[known])).sum())


@torch.no_grad()
def completions(policy: Policy, prompt: list[int], sharpness: float) -> Floats:
    """Probabilities of all completions of at most two tokens: end-of-text at once, or a token and any other; (M,)."""
    (end,) = policy.stop_ids
    first = policy.model(input_ids=torch.tensor([prompt])).logits[0, -1].double()
    p_first = (sharpness * first).softmax(0)
    others = [token for token in range(len(p_first)) if token != end]
    rows = torch.tensor([[*prompt, token] for token in others])
    second = torch.cat([policy.model(input_ids=part).logits[:, -1] for part in rows.split(128)]).double()
    p_second = p_first[others][:, None] * (sharpness * second).softmax(1)
    found: Floats = torch.cat([p_first[end : end + 1], p_second.flatten()]).numpy()
    return found


def compute(worlds: Path, key: str, sizes: Sizes) -> Found:
    path = learning_data.make_model(learning_data.DEMO, worlds / "enumerable", 0)
    policy = load_policy(str(path), torch.device("cpu"))
    scores = np.random.default_rng(0)
    found: Found = {}
    for name, sharpness in (("flat", 1.0), ("sharp", SHARPER)):
        p = completions(policy, [5, 6, 7, 8], sharpness)
        values = scores.normal(size=len(p))
        found[name] = {str(n): exact_kl(p, values, n) for n in NS}
        found[f"{name}-largest"] = float(p.max())
    return found


def numbers(found: Mapping[str, Found], sizes: Sizes) -> list[Number]:
    (unit,) = found.values()
    rows = []
    for n in NS:
        ratio = unit["flat"][str(n)] / kl_upper_bound(n)
        holds = abs(ratio - 1) <= TOLERANCE
        rows.append(Number(f"n = {n}: exact KL over ln n - (n - 1)/n", ratio, None, None, "0.99 to 1.01", holds))
    for n in NS:
        ratio = unit["sharp"][str(n)] / kl_upper_bound(n)
        title = f"n = {n}: the same of a policy whose likeliest completion has {unit['sharp-largest']:.2f}"
        rows.append(Number(title, ratio, None, None, "at most 1: an upper bound", ratio <= 1 + 1e-9))
    return rows


def _one(sizes: Sizes) -> list[str]:
    return ["all"]


PROOF = Proof("best_of_n_kl", "ln n - (n - 1)/n is best-of-n's KL where it can be listed.", _one, compute, numbers)
