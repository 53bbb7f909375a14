"""Sampling: the same completion whatever stands beside it, and `model.generate`'s text when greedy."""

from __future__ import annotations

from pathlib import Path

import torch

from rlhf.learning.policy import load_policy
from rlhf.learning.sampling import Prompt, sample
from rlhf.learning.text import TextConfig, encode_prompt
from tests.learning.conftest import question

CPU = torch.device("cpu")


def test_greedy_equals_generate(any_model: tuple[Path, str]) -> None:
    path, prompt_format = any_model
    policy = load_policy(str(path), CPU)
    text = TextConfig(prompt_format=prompt_format, max_prompt_tokens=96, max_completion_tokens=24)
    prompts = [Prompt(i, encode_prompt(policy.tokenizer, question(i), text)) for i in range(5)]
    found = sample(policy, prompts, num_samples=1, temperature=0.0, max_new_tokens=24, seed=0, batch_size=8)
    for prompt, own in zip(prompts, found, strict=True):
        ids = torch.tensor([prompt.ids])
        theirs = policy.model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=24)
        assert own.ids == theirs[0, len(prompt.ids) :].tolist()
