"""The full Bradley-Terry fit and 1,000 resamples of prompts, beside others' resamples of rows, in one process.

Others' 1,000 resamples would take minutes: fewer are timed, and the time for 1,000 is said to be scaled.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import evalica
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from benchmarks.evaluation.scores import Scores
from rlhf.learning.stats.bradley_terry import fit, resample
from rlhf.learning.stats.comparisons import tabulate

NUM = 1_000
OF_EVALICA, OF_FASTCHAT = 5, 50  # resamples that are timed


def measure(scores: Scores, repeats: int = 3) -> dict[str, Any]:
    """Seconds for all judges together; ours from the unit scores on."""
    judges = range(len(scores.scores))
    tables = [tabulate(*scores.rows(judge)) for judge in judges]
    fits = [fit(table) for table in tables]
    ours = [_seconds(lambda: [resample(table, fit(table), NUM, seed=0) for table in tables]) for _ in range(repeats)]
    one = [_seconds(lambda: resample(tables[0], fit(tables[0]), NUM, seed=0)) for _ in range(repeats)]
    began = time.process_time()
    for table in tables:
        resample(table, fit(table), NUM, seed=0)
    cpu = time.process_time() - began
    return {
        "ours_cpu_s": cpu,
        "tabulate_s": _seconds(lambda: [tabulate(*scores.rows(judge)) for judge in judges]),
        "fit_s": _seconds(lambda: [fit(table) for table in tables]),
        "ours_s": min(ours),
        "ours_all_s": ours,
        "ours_one_judge_s": min(one),
        "evalica_s": _scaled(lambda num: _evalica(scores, num), OF_EVALICA),
        "evalica_timed": OF_EVALICA,
        "fastchat_s": _scaled(lambda num: _fastchat(scores, num), OF_FASTCHAT),
        "fastchat_timed": OF_FASTCHAT,
        "num_failed": [resample(tables[0], fits[0], NUM, seed=0).num_failed],
    }


def _evalica(scores: Scores, num: int) -> None:
    """evalica.bootstrap (percentile) of its Bradley-Terry in Rust: rows are drawn again."""
    for judge in range(len(scores.scores)):
        _, candidates, baselines, points = scores.rows(judge)
        winners = np.array([evalica.Winner.Y, evalica.Winner.Draw, evalica.Winner.X])[(points * 2).astype(int)]
        evalica.bootstrap(
            evalica.bradley_terry,
            candidates.tolist(),
            baselines.tolist(),
            winners.tolist(),
            n_resamples=num,
            bootstrap_method="percentile",
            random_state=0,
        )


def _fastchat(scores: Scores, num: int) -> None:
    """As FastChat since its pull request 3523: rows drawn as a multinomial of (pair, outcome) counts, then L-BFGS."""
    random = np.random.default_rng(0)
    for judge in range(len(scores.scores)):
        points = scores.scores[judge]
        counts = np.stack([(points == value).sum(axis=0) for value in (1.0, 0.5, 0.0)])  # (3, Q)
        total = int(counts.sum())
        for drawn in random.multinomial(total, counts.ravel() / total, size=num):
            won, tied, lost = drawn.reshape(counts.shape)
            _logistic(scores, won + tied / 2, lost + tied / 2)


def _logistic(scores: Scores, won: NDArray[np.float64], lost: NDArray[np.float64]) -> NDArray[np.float64]:
    size = int(scores.first.max()) + 1

    def loss(strengths: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        gap = strengths[scores.first] - strengths[scores.second]
        slope = (won + lost) / (1 + np.exp(-gap)) - won
        gradient = np.zeros(size)
        np.add.at(gradient, scores.first, slope)
        np.add.at(gradient, scores.second, -slope)
        return float((won * np.logaddexp(0, -gap) + lost * np.logaddexp(0, gap)).sum()), gradient

    found: NDArray[np.float64] = minimize(loss, np.zeros(size), jac=True, method="L-BFGS-B").x
    return found


def _scaled(work: Callable[[int], None], num: int) -> float:
    return _seconds(lambda: work(num)) * NUM / num


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
