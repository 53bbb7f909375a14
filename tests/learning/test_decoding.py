"""The decode loop at its limits: rows that wait for others, and models whose attention isn't ours."""

from __future__ import annotations

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from rlhf.learning.attention import NAME
from rlhf.learning.policy import Policy
from rlhf.learning.sampling import Prompt, Sample, sample
from tests.learning.architectures import random_model
from tests.learning.test_architectures import greedy

STOPS = frozenset(range(0, 120, 12))


def drawn(policy: Policy, prompts: list[Prompt], limit: int, batch_size: int, temperature: float) -> list[Sample]:
    return sample(
        policy,
        prompts,
        num_samples=3,
        temperature=temperature,
        max_new_tokens=limit,
        seed=2,
        batch_size=batch_size,
    )


def test_a_row_that_ended_and_waits_for_others_needs_no_more_positions() -> None:
    """Prompt and completion fill the model's positions to the last: rows that wait must not count on."""
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=120, n_positions=16, n_embd=16, n_layer=1, n_head=2, eos_token_id=0)
    model = GPT2LMHeadModel(config).eval()
    model.set_attn_implementation(NAME)
    policy = Policy(model=model, tokenizer=None, pad_id=1, stop_ids=STOPS)  # type: ignore[arg-type]
    prompts = [Prompt(i, [(7 * i + 3 * j) % 100 + 10 for j in range(4)]) for i in range(30)]
    alone = drawn(policy, prompts, 12, 1, 1.0)
    assert {len(s.ids) for s in alone} >= {1, 2, 12}
    for batch_size in (9, 16, 64):
        assert [s.ids for s in drawn(policy, prompts, 12, batch_size, 1.0)] == [s.ids for s in alone]


@pytest.mark.parametrize("name", ["gpt2", "gemma2"])
def test_under_another_attention_prompts_are_padded_on_the_left_and_change_nothing(name: str) -> None:
    model = random_model(name)
    model.set_attn_implementation("eager")
    prompts = [Prompt(i, [(7 * i + 3 * j) % 100 + 10 for j in range(5 + 4 * (i % 4))]) for i in range(7)]
    ends = sorted({greedy(model, prompt, [1])[4] for prompt in prompts})
    policy = Policy(model=model, tokenizer=None, pad_id=0, stop_ids=frozenset(ends))  # type: ignore[arg-type]
    theirs = [greedy(model, prompt, ends) for prompt in prompts]
    assert len({len(ids) for ids in theirs}) > 1
    for batch_size in (2, 16):
        found = drawn(policy, prompts, 20, batch_size, 0.0)
        assert [s.ids for s in found[::3]] == theirs
