"""The losses: hand-worked numbers, and what padding, ties and splitting must not change."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlhf.learning.losses import comparisons, pairwise_loss, policy_loss, value_loss

rankings = st.lists(st.lists(st.integers(1, 4), min_size=2, max_size=6), min_size=1, max_size=5)


def _padded(rows: list[list[int]], seed: int = 0, extra: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ranks, mask and random float64 scores of rankings of unequal length; padding holds large rubbish."""
    width = max(map(len, rows)) + extra
    ranks = torch.tensor([row + [99] * (width - len(row)) for row in rows])
    mask = torch.tensor([[True] * len(row) + [False] * (width - len(row)) for row in rows])
    scores = torch.full(ranks.shape, 1e4, dtype=torch.float64)
    scores[mask] = torch.randn(int(mask.sum()), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return scores, ranks, mask


def _pair_loop(scores: torch.Tensor, rows: list[list[int]], weights: list[float]) -> float:
    total, total_weight = 0.0, 0.0
    for row, ranks in enumerate(rows):
        losses = [
            math.log1p(math.exp(-(scores[row, i] - scores[row, j]).item()))
            for i, a in enumerate(ranks)
            for j, b in enumerate(ranks)
            if a < b
        ]
        if losses:
            total += weights[row] * sum(losses) / len(losses)
            total_weight += weights[row]
    return total / total_weight if total_weight else 0.0


@given(rankings, st.integers(0, 100))
def test_all_pairs_of_a_ranking_at_once_equal_the_loop_over_pairs(rows: list[list[int]], seed: int) -> None:
    scores, ranks, mask = _padded(rows, seed)
    weights = [0.5 + index for index in range(len(rows))]
    total = sum(w for w, row in zip(weights, rows) if len(set(row)) > 1)
    loss = pairwise_loss(scores, ranks, mask, torch.tensor(weights, dtype=torch.float64), total or 1.0)
    assert loss.item() == pytest.approx(_pair_loop(scores, rows, weights), rel=1e-12, abs=1e-12)


def test_equal_scores_cost_ln_two() -> None:
    ranks = torch.tensor([[1, 2, 3, 4]])
    loss = pairwise_loss(torch.zeros(1, 4), ranks, torch.ones_like(ranks, dtype=torch.bool), torch.ones(1), 1.0)
    assert loss.item() == pytest.approx(math.log(2))


def test_a_constant_added_to_every_score_changes_nothing() -> None:
    scores, ranks, mask = _padded([[1, 2, 2, 3], [2, 1]])
    losses = [pairwise_loss(scores + shift, ranks, mask, torch.ones(2), 2.0).item() for shift in (0.0, 5.0)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)


def test_a_ranking_of_four_without_ties_has_six_comparisons_and_a_tie_takes_one_away() -> None:
    ranks = torch.tensor([[1, 2, 3, 4], [1, 2, 2, 3]])
    assert comparisons(ranks, torch.ones_like(ranks, dtype=torch.bool)).sum((1, 2)).tolist() == [6, 5]


def test_a_ranking_of_ties_adds_nothing_and_has_no_gradient() -> None:
    scores = torch.randn(1, 3, requires_grad=True)
    loss = pairwise_loss(scores, torch.ones(1, 3).long(), torch.ones(1, 3, dtype=torch.bool), torch.ones(1), 1.0)
    loss.backward()
    assert loss.item() == 0 and scores.grad is not None and not scores.grad.any()


def test_rankings_in_parts_sum_to_the_whole() -> None:
    rows = [[1, 2, 3], [2, 1], [1, 1, 2, 3], [3, 1, 2]]
    scores, ranks, mask = _padded(rows)
    weights = torch.tensor([1.0, 0.5, 2.0, 1.0])
    whole = pairwise_loss(scores, ranks, mask, weights, 4.5)
    parts = [pairwise_loss(scores[s], ranks[s], mask[s], weights[s], 4.5) for s in (slice(0, 1), slice(1, 4))]
    assert sum(part.item() for part in parts) == pytest.approx(whole.item(), rel=1e-6)


def _tokens(padding: int = 0) -> dict[str, torch.Tensor]:
    """Two completions of three and one token; `padding` more positions of rubbish behind them."""
    generator = torch.Generator().manual_seed(3)
    mask = torch.tensor([[True, True, True], [True, False, False]])
    old = torch.randn(2, 3, generator=generator)
    tensors = {"new": old + 0.4 * torch.randn(2, 3, generator=generator), "old": old}
    tensors |= {name: torch.randn(2, 3, generator=generator) for name in ("advantages", "values", "returns")}
    rubbish = {name: torch.cat([value, torch.full((2, padding), 1e6)], 1) for name, value in tensors.items()}
    rubbish = {name: value.masked_fill(~torch.nn.functional.pad(mask, (0, padding)), -1e6) for name, value in rubbish.items()}
    return rubbish | {"mask": torch.nn.functional.pad(mask, (0, padding))}


def test_before_any_update_the_ratio_is_exactly_one() -> None:
    t = _tokens()
    loss = policy_loss(t["old"], t["old"], t["advantages"], t["mask"], 0.2, 4)
    assert (loss.ratio.item(), loss.clip_fraction.item(), loss.approximate_kl.item()) == (1.0, 0.0, 0.0)
    assert loss.loss.item() == pytest.approx(-t["advantages"][t["mask"]].mean().item())


def test_the_policy_loss_by_hand() -> None:
    # Ratios 1.5, 1.5, 0.5, 0.5 with advantages +1, -1, +1, -1 and clip 0.2: -1.2, +1.5, -0.5, +0.8.
    log_probabilities = torch.tensor([[1.5, 1.5, 0.5, 0.5]]).log()
    advantages = torch.tensor([[1.0, -1.0, 1.0, -1.0]])
    loss = policy_loss(log_probabilities, torch.zeros(1, 4), advantages, torch.ones(1, 4, dtype=torch.bool), 0.2, 4)
    assert loss.loss.item() == pytest.approx((-1.2 + 1.5 - 0.5 + 0.8) / 4)
    assert loss.clip_fraction.item() == 1.0
    assert loss.ratio.item() == pytest.approx(1.0)
    assert loss.approximate_kl.item() == pytest.approx((math.log(1.5) ** 2 + math.log(0.5) ** 2) / 4)


def test_beyond_the_clip_the_gradient_stops_only_where_it_would_go_on() -> None:
    log_probabilities = torch.tensor([[1.5, 1.5]]).log().requires_grad_()
    advantages = torch.tensor([[1.0, -1.0]])
    policy_loss(log_probabilities, torch.zeros(1, 2), advantages, torch.ones(1, 2, dtype=torch.bool), 0.2, 2).loss.backward()
    assert log_probabilities.grad is not None
    assert log_probabilities.grad.tolist() == [[0.0, pytest.approx(0.75)]]


def test_the_value_loss_by_hand() -> None:
    # Values 1 and 0 from old 0 and 0, returns 2 and 0, clip 0.2: clipped values 0.2 and 0; errors max(1, 3.24) and 0.
    values = torch.tensor([[1.0, 0.0]])
    loss = value_loss(values, torch.zeros(1, 2), torch.tensor([[2.0, 0.0]]), torch.ones(1, 2, dtype=torch.bool), 0.2, 2)
    assert loss.loss.item() == pytest.approx(0.5 * 3.24 / 2)
    assert loss.clip_fraction.item() == 0.5


@pytest.mark.parametrize("padding", [1, 5])
def test_appended_padding_changes_no_number_and_has_no_gradient(padding: int) -> None:
    found = []
    for t in (_tokens(), _tokens(padding)):
        t["new"].requires_grad_()
        t["values"].requires_grad_()
        policy = policy_loss(t["new"], t["old"], t["advantages"], t["mask"], 0.2, 4)
        value = value_loss(t["values"], t["old"], t["returns"], t["mask"], 0.2, 4)
        (policy.loss + value.loss).backward()
        assert not t["new"].grad[~t["mask"]].any() and not t["values"].grad[~t["mask"]].any()
        numbers = [policy.loss, policy.ratio, policy.clip_fraction, policy.approximate_kl, value.loss, value.clip_fraction]
        found.append([number.item() for number in numbers] + t["new"].grad[t["mask"]].tolist())
    assert found[0] == pytest.approx(found[1], abs=1e-6)


def test_a_minibatch_in_two_parts_sums_to_the_whole() -> None:
    t = _tokens()
    whole = policy_loss(t["new"], t["old"], t["advantages"], t["mask"], 0.2, 4)
    parts = [policy_loss(*(t[k][r] for k in ("new", "old", "advantages", "mask")), 0.2, 4) for r in ([0], [1])]
    assert sum(p.loss.item() for p in parts) == pytest.approx(whole.loss.item(), rel=1e-6)
    assert sum(p.ratio.item() for p in parts) == pytest.approx(whole.ratio.item(), rel=1e-6)
