"""Heads of an ensemble learn from their own bootstrap of the rankings, and each from something."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rlhf.learning import reward
from rlhf.learning.rankings import collate, encode_rankings
from rlhf.learning.reward import UntrainedHead, bootstrap_multipliers
from rlhf.learning.reward_model import load_tokenizer
from tests.learning.rankings import ranking_rows, rankings_folder, read_by, reward_config, text_config


def test_a_head_has_no_gradient_from_a_ranking_outside_its_bootstrap_and_twice_that_of_one_inside(
    llama_path: Path,
) -> None:
    encoded = encode_rankings(read_by(load_tokenizer(str(llama_path)), text_config("chat")), ranking_rows(8))
    batch = collate(encoded, 0)
    scores = torch.randn(32, 3, generator=torch.Generator().manual_seed(1), requires_grad=True)
    reward.loss_of_heads(scores, batch, reward_config(llama_path, "chat", num_heads=3)).backward()
    assert scores.grad is not None
    alone = scores.detach().clone().requires_grad_()
    plain = reward_config(llama_path, "chat")
    sum(reward.loss_of_heads(alone[:, [h]], batch, plain) for h in range(3)).backward()  # type: ignore[union-attr]
    assert alone.grad is not None
    times = torch.tensor([bootstrap_multipliers(0, ranking_id, 3) for ranking_id in batch.ranking_ids])  # (8, 3)
    assert 0 < (times == 0).sum() < times.numel()
    torch.testing.assert_close(scores.grad, times.repeat_interleave(4, 0) * alone.grad / 3)


def test_a_head_that_would_learn_from_nothing_is_refused_before_any_step(llama_path: Path, tmp_path: Path) -> None:
    rankings_folder(tmp_path, count=2, num_held_out=0)
    config = reward_config(llama_path, "chat", num_heads=64)
    with pytest.raises(UntrainedHead, match=r"num_heads: found \d+ of 64 heads .* bootstrap of 2 training rankings"):
        reward.run(tmp_path, config)
    assert not (tmp_path / "metrics.jsonl").exists()
