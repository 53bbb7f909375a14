"""The reward model's report: accuracy on held-out rankings beside the ceiling of the labels' noise."""

import numpy as np
import pytest

from rlhf.learning.report import ScoredRanking, accuracy, noise_ceiling


def test_accuracy_counts_every_untied_comparison() -> None:
    # 3 over 2 over the tied two: five comparisons; scores order (a, b), (a, c), (b, c) right, (a, d) and (b, d) wrong.
    found = accuracy([ScoredRanking(1, [1, 2, 3, 3], [2.0, 1.0, 0.0, 9.0])])
    assert found is not None
    assert (found.mean, found.num_rows) == (pytest.approx(3 / 5), 5)


def test_equal_scores_are_half_right() -> None:
    found = accuracy([ScoredRanking(1, [1, 2], [0.5, 0.5])])
    assert found is not None and found.mean == 0.5


def test_rankings_that_are_all_ties_say_nothing() -> None:
    assert accuracy([ScoredRanking(1, [1, 1], [0.0, 1.0])]) is None


def test_rankings_of_one_prompt_are_one_cluster() -> None:
    found = accuracy([ScoredRanking(1, [1, 2], [1.0, 0.0]), ScoredRanking(1, [1, 2], [1.0, 0.0])])
    assert found is not None and (found.num_clusters, found.num_rows) == (1, 2)
    assert found.low < 0.3  # one prompt proves nothing


def test_the_noise_ceiling_is_the_mean_of_the_likelier_side() -> None:
    assert noise_ceiling([0.9, 0.2, 0.5, 1.0], [1, 2, 3, 4]).mean == pytest.approx((0.9 + 0.8 + 0.5 + 1.0) / 4)


def test_no_judge_beats_the_ceiling() -> None:
    random = np.random.default_rng(0)
    gaps = random.normal(size=4000)
    chances = 1 / (1 + np.exp(-2 * gaps))
    labels = random.random(4000) < chances
    ranks = [[1, 2] if label else [2, 1] for label in labels]
    rankings = [ScoredRanking(i, r, [gap, 0.0]) for i, (r, gap) in enumerate(zip(ranks, gaps, strict=True))]
    found, ceiling = accuracy(rankings), noise_ceiling(chances, range(4000))
    assert found is not None
    assert found.mean == pytest.approx(ceiling.mean, abs=3 * found.standard_error)  # the gap itself is the best judge
