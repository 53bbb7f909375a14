"""The losses of preferences: an independent float64 reference, hand-worked numbers and properties."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rlhf.learning.completion_sets import EncodedRanking
from rlhf.learning.preference_losses import (
    davidson_loss,
    dpo_loss,
    ipo_loss,
    kto_loss,
    pairwise_loss,
    rao_kupper_loss,
    tie_threshold,
)
from rlhf.learning.rankings import RankingBatch, collate
from rlhf.learning.records import comparisons
from rlhf.learning.text import Encoded
from tests.learning.oracles import preferences

rankings = st.lists(st.lists(st.integers(1, 4), min_size=2, max_size=6), min_size=1, max_size=5)
Loss = Callable[[Tensor, RankingBatch, Tensor], Tensor]  # scores, batch, pair weights that sum to 1


def _encoded(rows: list[list[int]], margins: list[float] | None = None) -> list[EncodedRanking]:
    """Rankings of these ranks with weights 0.5, 1.5, ..."""
    found = []
    for i, ranks in enumerate(rows):
        pairs = comparisons(ranks)
        sequences = [Encoded(i, [1], [2])] * len(ranks)
        margin = (margins[i],) * len(pairs.winners) if margins else ()
        row = {"ranking_id": i, "prompt_id": i, "completion_ids": list(range(len(ranks))), "edited": False}
        found.append(EncodedRanking(row, sequences, pairs, 0.5 + i, None, margin))
    return found


def _batch(encoded: list[EncodedRanking], ties: bool = False) -> tuple[RankingBatch, Tensor]:
    """What is in it, and pair weights that sum to 1; a ranking that says nothing is left out, as in a run."""
    batch = collate(encoded, 0, ties=ties)
    return batch, batch.pair_weights.double() / batch.pair_weights.sum().double()


def _scores(count: int) -> Tensor:
    return 2 * torch.randn(count, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


BRADLEY_TERRY: Loss = lambda s, b, w: pairwise_loss(s, b.winners, b.losers, w)  # noqa: E731
SMOOTHED: Loss = lambda s, b, w: pairwise_loss(s, b.winners, b.losers, w, b.margins, 0.1)  # noqa: E731
RAO_KUPPER: Loss = lambda s, b, w: rao_kupper_loss(s, b.winners, b.losers, b.tied, w, 1.7)  # noqa: E731
DAVIDSON: Loss = lambda s, b, w: davidson_loss(s, b.winners, b.losers, b.tied, w, 0.6)  # noqa: E731
IPO: Loss = lambda s, b, w: ipo_loss(s, b.winners, b.losers, w, 0.1)  # noqa: E731
DPO: Loss = lambda s, b, w: dpo_loss(s / 0.3, b.winners, b.losers, w, 0.3)  # noqa: E731

CASES = {
    "bradley_terry": (BRADLEY_TERRY, preferences.bradley_terry(), False),
    "smoothed with margins": (SMOOTHED, preferences.bradley_terry(0.1), False),
    "rao_kupper": (RAO_KUPPER, preferences.rao_kupper(1.7), True),
    "davidson": (DAVIDSON, preferences.davidson(0.6), True),
    "ipo": (IPO, preferences.ipo(0.1), False),
    "dpo": (DPO, preferences.bradley_terry(), False),
}


@pytest.mark.parametrize("name", CASES)
@given(rows=rankings)
def test_all_pairs_of_a_ranking_at_once_equal_the_reference_pair_by_pair(name: str, rows: list[list[int]]) -> None:
    loss, of_pair, ties = CASES[name]
    rows = [row for row in rows if ties or len(set(row)) > 1] or [[1, 2]]
    margins = [0.25 * i for i in range(len(rows))] if "margins" in name else None
    scores = _scores(sum(map(len, rows)))
    weights = [0.5 + i for i in range(len(rows))]
    expected = preferences.mean_over_rankings(rows, weights, scores.tolist(), of_pair, ties, margins)
    assert loss(scores, *_batch(_encoded(rows, margins), ties)).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_a_constant_added_to_every_score_changes_nothing(name: str) -> None:
    loss, _, ties = CASES[name]
    batch, scores = _batch(_encoded([[1, 2, 2, 3], [2, 1]]), ties), _scores(6)
    assert loss(scores + 5, *batch).item() == pytest.approx(loss(scores, *batch).item(), rel=1e-12)


def test_equal_scores_cost_ln_two() -> None:
    assert BRADLEY_TERRY(torch.zeros(4), *_batch(_encoded([[1, 2, 3, 4]]))).item() == pytest.approx(math.log(2))


def test_four_completions_have_six_comparisons_and_a_tie_takes_one_away() -> None:
    assert [r.num_pairs for r in _encoded([[1, 2, 3, 4], [1, 2, 2, 3]])] == [6, 5]
    assert len(_batch(_encoded([[1, 2, 2, 3]]), ties=True)[1]) == 6


def test_a_ranking_counts_by_its_weight_and_not_by_its_number_of_comparisons() -> None:
    encoded = [replace(ranking, weight=1.0) for ranking in _encoded([[1, 2, 3, 4], [1, 2]])]
    scores = torch.tensor([0.0, 0.0, 0.0, 0.0, 9.0, -9.0])
    assert BRADLEY_TERRY(scores, *_batch(encoded)).item() == pytest.approx(math.log(2) / 2, abs=1e-6)


def test_a_margin_of_one_is_a_score_difference_less() -> None:
    one, zero = torch.ones(1), torch.zeros(1)
    first, second = torch.tensor([0]), torch.tensor([1])
    with_margin = pairwise_loss(torch.tensor([3.0, 1.0]), first, second, one, margins=one)
    assert with_margin.item() == pytest.approx(pairwise_loss(torch.tensor([2.0, 1.0]), first, second, one).item())
    assert with_margin > pairwise_loss(torch.tensor([3.0, 1.0]), first, second, one, margins=zero)


def test_label_smoothing_stops_at_the_odds_of_a_mistake() -> None:
    """A share e of flips is fitted best by a difference of ln((1 - e) / e), here ln 9: beyond it the gradient turns."""
    scores = torch.tensor([math.log(9.0), 0.0], dtype=torch.float64, requires_grad=True)
    one, first, second = torch.ones(1, dtype=torch.float64), torch.tensor([0]), torch.tensor([1])
    pairwise_loss(scores, first, second, one, label_smoothing=0.1).backward()
    assert scores.grad is not None and scores.grad.abs().max() < 1e-12
    plain = torch.tensor([math.log(9.0), 0.0], dtype=torch.float64, requires_grad=True)
    pairwise_loss(plain, first, second, one).backward()
    assert plain.grad is not None and plain.grad[0] == pytest.approx(-0.1)


@pytest.mark.parametrize("ties", ["rao_kupper", "davidson"])
def test_the_three_outcomes_of_a_pair_sum_to_one_and_equal_scores_tie_as_the_threshold_says(ties: str) -> None:
    likelihood = rao_kupper_loss if ties == "rao_kupper" else davidson_loss
    threshold = tie_threshold(ties, 0.3)
    one, first, second = torch.ones(1, dtype=torch.float64), torch.tensor([0]), torch.tensor([1])
    for scores in (_scores(2), torch.zeros(2, dtype=torch.float64)):
        wins, loses, tie = (
            math.exp(-likelihood(scores, *pair, torch.tensor([tied]), one, threshold).item())
            for pair, tied in (((first, second), False), ((second, first), False), ((first, second), True))
        )
        assert wins + loses + tie == pytest.approx(1)
    assert (wins, loses, tie) == (pytest.approx(0.35), pytest.approx(0.35), pytest.approx(0.3))


@pytest.mark.parametrize("ties", ["rao_kupper", "davidson"])
def test_a_tie_pulls_scores_together(ties: str) -> None:
    likelihood = rao_kupper_loss if ties == "rao_kupper" else davidson_loss
    scores = torch.tensor([1.0, -1.0], requires_grad=True)
    likelihood(scores, torch.tensor([0]), torch.tensor([1]), torch.tensor([True]), torch.ones(1), 2.0).backward()
    assert scores.grad is not None and scores.grad[0] > 0 > scores.grad[1]


def test_without_ties_the_likelihoods_are_bradley_terry_in_the_limit() -> None:
    rows = [[1, 2, 3], [2, 1]]
    scores, (batch, weights) = _scores(5), _batch(_encoded(rows), ties=True)
    expected = pairwise_loss(scores, batch.winners, batch.losers, weights).item()
    pair = (scores, batch.winners, batch.losers, batch.tied, weights)
    assert rao_kupper_loss(*pair, 1 + 1e-9).item() == pytest.approx(expected, rel=1e-6)
    assert davidson_loss(*pair, 1e-9).item() == pytest.approx(expected, rel=1e-6)


def test_dpo_at_the_reference_costs_ln_two_and_pushes_winner_and_loser_apart() -> None:
    log_ratios = torch.zeros(2, requires_grad=True)
    loss = dpo_loss(log_ratios, torch.tensor([0]), torch.tensor([1]), torch.ones(1), beta=0.1)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2))
    assert log_ratios.grad is not None and log_ratios.grad.tolist() == pytest.approx([-0.05, 0.05])


def test_ipo_is_content_at_a_finite_difference() -> None:
    """h = 1 / (2 beta) costs nothing, where DPO would go on for ever."""
    pair = (torch.tensor([0]), torch.tensor([1]), torch.ones(1))
    assert ipo_loss(torch.tensor([5.0, 0.0]), *pair, beta=0.1).item() == 0
    assert ipo_loss(torch.tensor([7.0, 0.0]), *pair, beta=0.1).item() == pytest.approx(4)
    assert dpo_loss(torch.tensor([7.0, 0.0]), *pair, beta=0.1) < dpo_loss(torch.tensor([5.0, 0.0]), *pair, beta=0.1)


def test_kto_equals_the_reference_and_is_a_half_at_the_reference_point() -> None:
    log_ratios, share = _scores(4), torch.tensor([0.4, 0.0, 0.1, 0.2], dtype=torch.float64)
    expected = preferences.kto(log_ratios.tolist(), share.tolist(), share.flip(0).tolist(), 0.7, 0.3)
    assert kto_loss(log_ratios, share, share.flip(0), 0.7, 0.3).item() == pytest.approx(expected)
    at_reference = kto_loss(torch.tensor([0.7]), torch.tensor([0.5]), torch.tensor([0.5]), 0.7, 0.3)
    assert at_reference.item() == pytest.approx(0.5)


def test_kto_wants_the_desirable_above_the_reference_point_and_the_undesirable_below() -> None:
    log_ratios = torch.zeros(2, requires_grad=True)
    kto_loss(log_ratios, torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), kl=0.0, beta=1.0).backward()
    assert log_ratios.grad is not None and log_ratios.grad.tolist() == pytest.approx([-0.25, 0.25])


@pytest.mark.parametrize("name", CASES)
def test_a_batch_in_two_parts_sums_to_the_whole(name: str) -> None:
    loss, _, ties = CASES[name]
    encoded, scores = _encoded([[1, 2, 2, 3], [2, 1]]), _scores(6)
    whole_weight = sum(r.weight for r in encoded)

    def part(chosen: list[EncodedRanking], of: Tensor) -> Any:
        batch = collate(chosen, 0, ties=ties)
        return loss(of, batch, batch.pair_weights.double() / whole_weight).item()

    assert part(encoded[:1], scores[:4]) + part(encoded[1:], scores[4:]) == pytest.approx(part(encoded, scores))
