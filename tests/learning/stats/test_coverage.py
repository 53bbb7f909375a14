"""Intervals cover what they say where rows of a prompt move together, and the same rows taken as independent do not.

Whoever simplifies the clustering away makes these tests fail. The Monte Carlo error of 2,000 replications is half a
point at 95 %.
"""

import math

import numpy as np
import pytest

from rlhf.learning.stats.bradley_terry import fit, gap
from rlhf.learning.stats.comparisons import tabulate
from rlhf.learning.stats.intervals import clustered_mean

NUM = 2_000
RHO = 0.6  # correlation of two verdicts on one prompt
SIGMA = 1.5  # spread of the quality of one version's answers, in log-odds


def error(share: float) -> float:
    return math.sqrt(share * (1 - share) / NUM)


@pytest.mark.parametrize(("rate", "num_prompts"), [(0.55, 100), (0.55, 500), (0.7, 200)])
def test_the_win_rate_of_prompts_judged_in_both_orders_is_covered(rate: float, num_prompts: int) -> None:
    random = np.random.default_rng(0)
    prompts = np.tile(np.arange(num_prompts), 2)
    size = (1 - RHO) / RHO
    by_prompt = by_row = 0
    for _ in range(NUM):
        shares = random.beta(rate * size, (1 - rate) * size, size=num_prompts)
        rows = (random.random((2, num_prompts)) < shares).astype(float).ravel()
        found = clustered_mean(rows, prompts)
        by_prompt += found.low <= rate <= found.high
        found = clustered_mean(rows, np.arange(rows.size))
        by_row += found.low <= rate <= found.high
    covered, naive = by_prompt / NUM, by_row / NUM
    print(f"win rate {rate:.0%}, {num_prompts} prompts: {covered:.3f} +- {error(covered):.3f}, by rows {naive:.3f}")
    assert 0.93 <= covered <= 0.97
    assert naive < 0.92


STRENGTHS = np.array([0.6, 0.3, 0.0, -0.1, -0.3, -0.5])
FIRST, SECOND = np.triu_indices(len(STRENGTHS), k=1)


def judged(random: np.random.Generator, num_prompts: int, nu: float) -> np.ndarray:
    """(P, 15): every pair of six versions, each with one answer to a prompt whose quality varies by SIGMA."""
    quality = STRENGTHS + SIGMA * random.normal(size=(num_prompts, len(STRENGTHS)))
    rise = np.exp((quality[:, FIRST] - quality[:, SECOND]) / 2)
    total = rise + 1 / rise + nu
    draw = random.random(rise.shape)
    scores: np.ndarray = np.where(draw < rise / total, 1.0, np.where(draw < (rise + nu) / total, 0.5, 0.0))
    return scores


def found_gap(scores: np.ndarray, by_row: bool = False):
    prompts = np.arange(scores.size) if by_row else np.repeat(np.arange(len(scores)), len(FIRST))
    return gap(fit(tabulate(prompts, np.tile(FIRST, len(scores)), np.tile(SECOND, len(scores)), scores.ravel())), 0, 1)


@pytest.mark.parametrize(("nu", "num_prompts"), [(0.0, 100), (0.7, 60)])
def test_the_bradley_terry_gap_of_answers_of_varying_quality_is_covered(nu: float, num_prompts: int) -> None:
    random = np.random.default_rng(1)
    truth = found_gap(judged(random, 60_000, nu)).gap  # what the fit tends to; its error is a thirtieth of one run's
    by_prompt = by_row = 0
    for _ in range(NUM):
        scores = judged(random, num_prompts, nu)
        found = found_gap(scores)
        by_prompt += found.low <= truth <= found.high
        found = found_gap(scores, by_row=True)
        by_row += found.low <= truth <= found.high
    covered, naive = by_prompt / NUM, by_row / NUM
    print(
        f"gap {truth:.2f}, nu {nu}, {num_prompts} prompts: {covered:.3f} +- {error(covered):.3f}, by rows {naive:.3f}"
    )
    assert 0.93 <= covered <= 0.97
    assert naive < 0.92
