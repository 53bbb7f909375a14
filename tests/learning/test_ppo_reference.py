"""PPO's numbers against an independent float64 reference, on rows of random lengths with rubbish in the padding."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rlhf.learning.advantages import generalized_advantages, token_rewards, whiten
from rlhf.learning.losses import policy_loss, value_loss
from tests.learning.oracles import ppo

lengths = st.lists(st.integers(1, 6), min_size=2, max_size=5)


def _tensors(rows: list[int], seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    mask = torch.arange(max(rows) + 1) < torch.tensor(rows)[:, None]
    names = ("new", "old", "reference", "values", "old_values", "scores")
    drawn = {n: torch.randn(mask.shape, generator=generator, dtype=torch.float64) * 0.5 for n in names}
    return {n: t.masked_fill(~mask, 77.0) for n, t in drawn.items()} | {"mask": mask}


def _row(tensor: Tensor, row: int, length: int) -> list[float]:
    found: list[float] = tensor[row, :length].tolist()
    return found


@given(rows=lengths, seed=st.integers(0, 99), gamma=st.sampled_from([1.0, 0.9]), lam=st.sampled_from([0.95, 1.0, 0.0]))
def test_rewards_advantages_and_losses_equal_the_reference(
    rows: list[int], seed: int, gamma: float, lam: float
) -> None:
    t = _tensors(rows, seed)
    scores, mask = t["scores"][:, 0], t["mask"]
    rewards = token_rewards(scores, t["old"], t["reference"], mask, 0.3)
    advantages, returns = generalized_advantages(rewards, t["old_values"], mask, gamma, lam)
    expected: dict[str, list[Any]] = {"advantages": [], "returns": [], "new": [], "old": [], "values": [], "was": []}
    for row, length in enumerate(rows):
        own, reference, values = (_row(t[n], row, length) for n in ("old", "reference", "old_values"))
        of_row = ppo.rewards(scores[row].item(), own, reference, 0.3)
        assert _row(rewards, row, length) == pytest.approx(of_row)
        gains, aims = ppo.gae(of_row, values, gamma, lam)
        for name, numbers in zip(
            expected,
            (gains, aims, _row(t["new"], row, length), own, _row(t["values"], row, length), values),
            strict=True,
        ):
            expected[name] += numbers
    assert advantages[mask].tolist() == pytest.approx(expected["advantages"])
    assert returns[mask].tolist() == pytest.approx(expected["returns"])
    white = whiten(advantages, mask, shift_mean=True)
    expected_white = ppo.whiten(expected["advantages"], shift_mean=True)
    assert white[mask].tolist() == pytest.approx(expected_white)
    kept = whiten(advantages, mask, shift_mean=False)
    assert kept[mask].tolist() == pytest.approx(ppo.whiten(expected["advantages"], shift_mean=False))
    found = policy_loss(t["new"], t["old"], white, mask, 0.2, sum(rows)).loss.item()
    assert found == pytest.approx(ppo.policy_loss(expected["new"], expected["old"], expected_white, 0.2))
    found = value_loss(t["values"], t["old_values"], returns, mask, 0.2, sum(rows)).loss.item()
    assert found == pytest.approx(ppo.value_loss(expected["values"], expected["was"], expected["returns"], 0.2))
