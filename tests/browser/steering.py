"""A project that is ready to learn: `python -m tests.browser steering SLUG`.

A tiny Llama on disk, and demonstrations for an SFT run of some minutes. Apart from world.py since it loads torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from django.conf import settings
from transformers import LlamaConfig, LlamaForCausalLM

from annotate.models import Demonstration
from rlhf.prompts import add, new_prompt
from tests.browser import world
from tests.learning.conftest import CHAT_TEMPLATE, answer, question, save, train_tokenizer

NUM_DEMONSTRATIONS = 24
SFT = {"num_epochs": 5_000, "batch_size": 4, "micro_batch_size": 4}  # some minutes, unless somebody cancels it
LOOP: dict[str, Any] = {
    "num_demonstrations": 5,
    "sft": {**SFT, "text": {"max_prompt_tokens": 64, "max_completion_tokens": 128}},
}


def main(slug: str) -> dict[str, Any]:
    project = world.project(slug=slug, name=f"Kind answers: {slug}")
    project.base_model, project.loop = str(_model(settings.VAR / "base-model")), LOOP
    project.save(update_fields=["base_model", "loop"])
    asked = [question(i)[0]["content"] for i in range(NUM_DEMONSTRATIONS)]
    add(project=project, prompts=[new_prompt(value=text) for text in asked], source="test")
    Demonstration.objects.bulk_create(
        Demonstration(project=project, prompt=prompt, text=answer(i), source="import")
        for i, prompt in enumerate(project.prompts.order_by("id"))
    )
    return {"slug": slug}


def _model(folder: Path) -> Path:
    specials = {"bos_token": "<s>", "eos_token": "<|im_end|>", "pad_token": "<pad>"}
    tokenizer = train_tokenizer(specials, 320, CHAT_TEMPLATE)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=1, max_position_embeddings=256, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    return save(LlamaForCausalLM(config), tokenizer, folder)
