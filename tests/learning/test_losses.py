"""The losses: hand-worked numbers, and what padding, ties and splitting must not change."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlhf.learning.losses import pairwise_loss, policy_loss, value_loss
from rlhf.learning.records import comparisons
from rlhf.learning.reward import EncodedRanking, collate
from rlhf.learning.text import Encoded

rankings = st.lists(st.lists(st.integers(1, 4), min_size=2, max_size=6), min_size=1, max_size=5)


def _encoded(rows: list[list[int]]) -> list[EncodedRanking]:
    """Rankings of these ranks with weights 0.5, 1.5, ...; rankings of ties alone are left out, as in a run."""
    found = [
        EncodedRanking({"ranking_id": i}, [Encoded(i, [1], [2])] * len(ranks), comparisons(ranks), 0.5 + i)
        for i, ranks in enumerate(rows)
    ]
    return [ranking for ranking in found if ranking.comparisons.winners]


def _loss(scores: torch.Tensor, encoded: list[EncodedRanking]) -> torch.Tensor:
    batch = collate(encoded, 0)
    total = sum(ranking.weight for ranking in encoded)
    return pairwise_loss(scores, batch.winners, batch.losers, batch.pair_weights) / total


def _scores(count: int) -> torch.Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


@given(rankings)
def test_all_pairs_of_a_ranking_at_once_equal_the_loop_over_pairs(rows: list[list[int]]) -> None:
    rows = [row for row in rows if len(set(row)) > 1] or [[1, 2]]
    scores = _scores(sum(map(len, rows)))
    total = total_weight = first = 0.0
    for number, ranks in enumerate(rows):
        mine = scores[int(first) : int(first) + len(ranks)].tolist()
        losses = [
            math.log1p(math.exp(mine[j] - mine[i])) for i, a in enumerate(ranks) for j, b in enumerate(ranks) if a < b
        ]
        total += (0.5 + number) * sum(losses) / len(losses)
        total_weight += 0.5 + number
        first += len(ranks)
    assert _loss(scores, _encoded(rows)).item() == pytest.approx(total / total_weight, rel=1e-6)


def test_equal_scores_cost_ln_two() -> None:
    assert _loss(torch.zeros(4), _encoded([[1, 2, 3, 4]])).item() == pytest.approx(math.log(2))


def test_a_constant_added_to_every_score_changes_nothing() -> None:
    encoded, scores = _encoded([[1, 2, 2, 3], [2, 1]]), _scores(6)
    assert _loss(scores + 5, encoded).item() == pytest.approx(_loss(scores, encoded).item(), rel=1e-12)


def test_four_completions_have_six_comparisons_and_a_tie_takes_one_away() -> None:
    assert [len(r.comparisons.winners) for r in _encoded([[1, 2, 3, 4], [1, 2, 2, 3], [1, 1, 1, 1]])] == [6, 5]


def test_a_ranking_counts_by_its_weight_and_not_by_its_number_of_comparisons() -> None:
    encoded = [replace(ranking, weight=1.0) for ranking in _encoded([[1, 2, 3, 4], [1, 2]])]
    scores = torch.tensor([0.0, 0.0, 0.0, 0.0, 9.0, -9.0])
    assert _loss(scores, encoded).item() == pytest.approx(math.log(2) / 2, abs=1e-6)


def _tokens(padding: int = 0) -> dict[str, torch.Tensor]:
    """Two completions of three and one token; `padding` more positions of rubbish behind them."""
    generator = torch.Generator().manual_seed(3)
    mask = torch.tensor([[True, True, True], [True, False, False]])
    old = torch.randn(2, 3, generator=generator)
    tensors = {"new": old + 0.4 * torch.randn(2, 3, generator=generator), "old": old}
    tensors |= {name: torch.randn(2, 3, generator=generator) for name in ("advantages", "values", "returns")}
    rubbish = {name: torch.cat([value, torch.full((2, padding), 1e6)], 1) for name, value in tensors.items()}
    rubbish = {
        name: value.masked_fill(~torch.nn.functional.pad(mask, (0, padding)), -1e6) for name, value in rubbish.items()
    }
    return rubbish | {"mask": torch.nn.functional.pad(mask, (0, padding))}


def test_before_any_update_the_ratio_is_exactly_one() -> None:
    t = _tokens()
    loss = policy_loss(t["old"], t["old"], t["advantages"], t["mask"], 0.2, 4)
    assert (loss.ratio_minus_one.item(), loss.clip_fraction.item(), loss.approximate_kl.item()) == (0.0, 0.0, 0.0)
    assert loss.loss.item() == pytest.approx(-t["advantages"][t["mask"]].mean().item())


def test_the_policy_loss_by_hand() -> None:
    # Ratios 1.5, 1.5, 0.5, 0.5 with advantages +1, -1, +1, -1 and clip 0.2: -1.2, +1.5, -0.5, +0.8.
    log_probabilities = torch.tensor([[1.5, 1.5, 0.5, 0.5]]).log()
    advantages = torch.tensor([[1.0, -1.0, 1.0, -1.0]])
    loss = policy_loss(log_probabilities, torch.zeros(1, 4), advantages, torch.ones(1, 4, dtype=torch.bool), 0.2, 4)
    assert loss.loss.item() == pytest.approx((-1.2 + 1.5 - 0.5 + 0.8) / 4)
    assert loss.clip_fraction.item() == 1.0
    assert loss.ratio_minus_one.item() == pytest.approx(0.0)
    assert loss.approximate_kl.item() == pytest.approx((math.log(1.5) ** 2 + math.log(0.5) ** 2) / 4)


def test_beyond_the_clip_the_gradient_stops_only_where_it_would_go_on() -> None:
    log_probabilities = torch.tensor([[1.5, 1.5]]).log().requires_grad_()
    advantages = torch.tensor([[1.0, -1.0]])
    policy_loss(
        log_probabilities, torch.zeros(1, 2), advantages, torch.ones(1, 2, dtype=torch.bool), 0.2, 2
    ).loss.backward()
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
        numbers = [
            policy.loss,
            policy.ratio_minus_one,
            policy.clip_fraction,
            policy.approximate_kl,
            value.loss,
            value.clip_fraction,
        ]
        found.append([number.item() for number in numbers] + t["new"].grad[t["mask"]].tolist())
    assert found[0] == pytest.approx(found[1], abs=1e-6)


def test_a_minibatch_in_two_parts_sums_to_the_whole() -> None:
    t = _tokens()
    whole = policy_loss(t["new"], t["old"], t["advantages"], t["mask"], 0.2, 4)
    parts = [policy_loss(*(t[k][r] for k in ("new", "old", "advantages", "mask")), 0.2, 4) for r in ([0], [1])]
    assert sum(p.loss.item() for p in parts) == pytest.approx(whole.loss.item(), rel=1e-6)
    assert sum(p.ratio_minus_one.item() for p in parts) == pytest.approx(whole.ratio_minus_one.item(), abs=1e-6)
