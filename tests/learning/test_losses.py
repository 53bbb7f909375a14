"""The losses of PPO: hand-worked numbers, and what padding and splitting must not change."""

import math

import pytest
import torch

from rlhf.learning.losses import policy_loss, value_loss


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
