"""The decode loop at its limits: rows that wait for others, and models whose attention isn't ours."""

from __future__ import annotations

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from rlhf.learning.attention import NAME
from rlhf.learning.decoding import Decoder, Job
from rlhf.learning.noise import mix
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


@pytest.mark.parametrize("replay", [False, True])
def test_what_the_buffers_held_before_they_were_moved_back_is_never_seen_again(replay: bool) -> None:
    """Rows join for so long that the window comes to the end of its room, twice, and starts anew."""
    model = random_model("llama")
    model.set_attn_implementation(NAME)
    policy = Policy(model=model, tokenizer=None, pad_id=0, stop_ids=STOPS)  # type: ignore[arg-type]
    jobs = [Job(i, [(7 * i + 3 * j) % 100 + 10 for j in range(3 + i % 3)][::-1], mix(0, i)) for i in range(60)]
    jobs.sort(key=lambda job: -len(job.prompt_ids))
    expected = {}
    with torch.no_grad():
        for place, job in enumerate(jobs):
            alone = Decoder(policy, [job], temperature=1.0, max_new_tokens=12, batch_size=1, replay=False)
            expected[place] = next(alone.run())[1].ids
        together = Decoder(policy, jobs, temperature=1.0, max_new_tokens=12, batch_size=2, replay=replay)
        shifts, shift = [], together._shift
        together._shift = lambda: (shifts.append(1), shift())  # type: ignore[method-assign]
        found = {place: drawn.ids for place, drawn in together.run()}
    assert len(shifts) >= 2 and found == expected


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
