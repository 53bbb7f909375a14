"""Advantages within a group, and the losses of GRPO and RLOO: an independent reference, numbers by hand, properties."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rlhf.learning.advantages import group_advantages
from rlhf.learning.grpo import token_weights
from rlhf.learning.losses import PolicyLoss, grpo_loss, kl_estimate, rloo_loss
from tests.learning.oracles import group

LENGTHS = [3, 1, 4, 2]
ESTIMATORS = ["k1", "k2", "k3"]


def _tensors(padding: int = 0) -> dict[str, Tensor]:
    """Four completions, padded with rubbish to 4 + padding tokens."""
    generator = torch.Generator().manual_seed(11)
    draw = lambda: torch.randn(4, 4, generator=generator, dtype=torch.float64)  # noqa: E731
    old = -draw().abs()
    found = {"new": old + 0.3 * draw(), "old": old, "reference": old + 0.2 * draw()}
    mask = torch.arange(4 + padding) < torch.tensor(LENGTHS)[:, None]
    wide = {k: torch.nn.functional.pad(v, (0, padding)).masked_fill(~mask, 1e3) for k, v in found.items()}
    return wide | {"mask": mask, "gains": torch.randn(4, generator=generator, dtype=torch.float64)}


def _grpo(t: dict[str, Any], average: str, estimator: str = "k3", rows: slice = slice(None)) -> PolicyLoss:
    weights = token_weights(t["mask"], [0, 1, 2, 3], average).double()
    names = ("new", "old", "reference", "gains", "mask")
    return grpo_loss(*(t[name][rows] for name in names), weights[rows], 0.2, 0.3, estimator)


@pytest.mark.parametrize("average", ["token", "completion"])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_grpo_equals_the_reference_token_by_token(average: str, estimator: str) -> None:
    t = _tensors(padding=2)
    arrays = [t[name].numpy() for name in ("new", "old", "reference")]
    expected = group.grpo(*arrays, t["gains"].tolist(), LENGTHS, 0.2, 0.3, estimator, average)
    assert _grpo(t, average, estimator).loss.item() == pytest.approx(expected, rel=1e-7)


def test_rloo_equals_the_reference_completion_by_completion() -> None:
    t = _tensors(padding=1)
    expected = group.rloo(t["new"].numpy(), t["old"].numpy(), t["gains"].tolist(), LENGTHS, 0.2)
    assert rloo_loss(t["new"], t["old"], t["gains"], t["mask"], 0.2, 4).loss.item() == pytest.approx(expected)


@given(st.lists(st.floats(-5, 5).map(lambda x: round(x, 3)), min_size=6, max_size=6), st.sampled_from([2, 3, 6]))
def test_advantages_equal_the_reference(rewards: list[float], size: int) -> None:
    for leave_one_out, scale in ((False, True), (False, False), (True, False)):
        found = group_advantages(torch.tensor(rewards, dtype=torch.float64), size, leave_one_out, scale).tolist()
        assert found == pytest.approx(group.advantages(rewards, size, leave_one_out, scale), abs=1e-9)


def test_advantages_by_hand() -> None:
    rewards = torch.tensor([1.0, 2.0, 3.0, 5.0, 5.0, 5.0])
    assert group_advantages(rewards, 3, leave_one_out=True, scale=False).tolist() == [-1.5, 0, 1.5, 0, 0, 0]
    scaled = group_advantages(rewards, 3, leave_one_out=False, scale=True).tolist()
    assert scaled == pytest.approx([-1, 0, 1, 0, 0, 0], abs=2e-4)


def test_a_group_of_equal_rewards_teaches_exactly_nothing() -> None:
    rewards = torch.full((7,), 0.1)  # whose mean is not 0.1 in float32
    assert not group_advantages(rewards, 7, leave_one_out=False, scale=True).any()


@given(st.lists(st.floats(-3, 3), min_size=8, max_size=8), st.floats(-5, 5))
def test_a_constant_for_a_prompt_changes_no_advantage(rewards: list[float], shift: float) -> None:
    values = torch.tensor(rewards, dtype=torch.float64)
    moved = values + torch.tensor([shift] * 4 + [0.0] * 4, dtype=torch.float64)
    one, other = (group_advantages(v, 4, leave_one_out=True, scale=False) for v in (values, moved))
    torch.testing.assert_close(one, other, atol=1e-9, rtol=1e-9)
    assert one.reshape(2, 4).sum(1).abs().max() < 1e-9


def _categorical() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    return tuple(torch.randn(5, generator=generator, dtype=torch.float64).log_softmax(0) for _ in range(2))  # type: ignore[return-value]


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_estimators_on_a_distribution_that_can_be_enumerated(estimator: str) -> None:
    own, reference = _categorical()
    exact = (own.exp() * (own - reference)).sum()
    estimates = kl_estimate(own, reference, estimator)
    mean = (own.exp() * estimates).sum().item()
    if estimator == "k2":
        assert mean != pytest.approx(exact.item(), rel=0.02)  # biased
    else:
        assert mean == pytest.approx(exact.item(), rel=1e-9)
    assert (estimates >= 0).all() == (estimator != "k1")  # k1 goes below 0 and is not clamped there


def test_as_a_loss_only_k2_has_the_gradient_of_the_kl() -> None:
    """The expected gradient of each estimator by enumeration, sampling held fixed, against the exact one."""
    start, reference = _categorical()
    exact_logits = start.clone().requires_grad_()
    own = exact_logits.log_softmax(0)
    (exact,) = torch.autograd.grad((own.exp() * (own - reference)).sum(), exact_logits)
    gradients = {}
    for estimator in ESTIMATORS:
        logits = start.clone().requires_grad_()
        own = logits.log_softmax(0)
        loss = (own.detach().exp() * kl_estimate(own, reference, estimator)).sum()
        (gradients[estimator],) = torch.autograd.grad(loss, logits)
    torch.testing.assert_close(gradients["k2"], exact, atol=1e-12, rtol=1e-9)
    assert gradients["k1"].abs().max() < 1e-12
    assert (gradients["k3"] - exact).abs().max() > 1e-3


def test_before_any_update_grpo_is_the_mean_advantage_and_its_gradient_is_reinforce() -> None:
    t = _tensors()
    new = t["old"].clone().requires_grad_()
    loss = rloo_loss(new, t["old"], t["gains"], t["mask"], 0.2, 4)
    loss.loss.backward()
    assert (loss.ratio_minus_one.item(), loss.clip_fraction.item(), loss.approximate_kl.item()) == (0, 0, 0)
    assert loss.loss.item() == pytest.approx(-t["gains"].mean().item())
    assert new.grad is not None
    torch.testing.assert_close(new.grad, (-t["gains"][:, None] / 4 * t["mask"]))
    weights = token_weights(t["mask"], [0, 1, 2, 3], "completion").double()
    same = grpo_loss(t["old"], t["old"], t["old"], t["gains"], t["mask"], weights, 0.2, 1.0, "k3")
    assert same.loss.item() == pytest.approx(-t["gains"].mean().item())


def test_a_long_completion_weighs_by_its_tokens_or_by_one() -> None:
    mask = torch.tensor([[True] * 4, [True] + [False] * 3])
    assert token_weights(mask, [0, 1], "token").sum(1).tolist() == pytest.approx([0.8, 0.2])
    assert token_weights(mask, [0, 1], "completion").sum(1).tolist() == pytest.approx([0.5, 0.5])


def test_beyond_the_clip_a_completion_of_rloo_is_left_alone() -> None:
    new = torch.tensor([[math.log(1.5) / 2] * 2, [0.05] * 2], requires_grad=True)
    mask = torch.ones(2, 2, dtype=torch.bool)
    loss = rloo_loss(new, torch.zeros(2, 2), torch.tensor([1.0, 1.0]), mask, 0.2, 2)
    loss.loss.backward()
    assert loss.clip_fraction.item() == 0.5  # both tokens of the first lie within 1 +- 0.25, their product does not
    assert new.grad is not None and not new.grad[0].any() and new.grad[1].all()


@pytest.mark.parametrize("padding", [1, 5])
def test_appended_padding_changes_no_number_and_has_no_gradient(padding: int) -> None:
    found = []
    for t in (_tensors(), _tensors(padding)):
        t["new"].requires_grad_()
        losses = [_grpo(t, "token"), rloo_loss(t["new"], t["old"], t["gains"], t["mask"], 0.2, 4)]
        sum(loss.loss for loss in losses).backward()  # type: ignore[union-attr]
        assert t["new"].grad is not None and not t["new"].grad[~t["mask"]].any()
        numbers = [n.item() for x in losses for n in (x.loss, x.ratio_minus_one, x.clip_fraction, x.approximate_kl)]
        found.append(numbers + t["new"].grad[t["mask"]].tolist())
    assert found[0] == pytest.approx(found[1], abs=1e-9)


@pytest.mark.parametrize("average", ["token", "completion"])
def test_weights_sum_to_one_over_the_rows_of_a_step_whatever_else_was_rolled_out(average: str) -> None:
    mask, rows = _tensors(padding=2)["mask"], [2, 0]
    weights = token_weights(mask, rows, average)
    assert weights[rows].sum().item() == pytest.approx(1) and not weights[~mask].any()
    of_rows = weights[rows].sum(1).tolist()
    assert of_rows == pytest.approx([4 / 7, 3 / 7] if average == "token" else [0.5, 0.5])


@pytest.mark.parametrize("average", ["token", "completion"])
def test_a_minibatch_in_two_parts_sums_to_the_whole(average: str) -> None:
    t = _tensors()
    whole, parts = _grpo(t, average), [_grpo(t, average, rows=slice(0, 3)), _grpo(t, average, rows=slice(3, 4))]
    for name in ("loss", "ratio_minus_one", "clip_fraction", "approximate_kl"):
        assert sum(getattr(p, name).item() for p in parts) == pytest.approx(getattr(whole, name).item())
