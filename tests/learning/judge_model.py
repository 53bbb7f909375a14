"""A tiny model that says what a test wants: each token is followed by one of those that its table names.

Attention and MLPs add nothing, so the next token hangs on the last one alone: a table of probabilities is the model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tests.learning.conftest import CHAT_TEMPLATE, save, train_tokenizer

WIDTH = 16
SHARP = 30.0  # logit of a likely token above all others


def judge_model(folder: Path, reply: Mapping[str, float]) -> Path:
    """A chat model whose first token is drawn from `reply` (texts that become tokens of their own), and then ends."""
    specials = {"bos_token": "<s>", "eos_token": "<|im_end|>", "pad_token": "<pad>"}
    tokenizer = train_tokenizer(specials, 320, CHAT_TEMPLATE)
    tokenizer.add_tokens(list(reply))
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=WIDTH, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=4096, tie_word_embeddings=False,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    begins = tokenizer.encode("<|im_start|>assistant\n", add_special_tokens=False)[-1]
    with torch.no_grad():
        layer = model.model.layers[0]
        layer.self_attn.o_proj.weight.zero_()
        layer.mlp.down_proj.weight.zero_()
        embedding, head = model.model.embed_tokens.weight.zero_(), model.lm_head.weight.zero_()
        embedding[:, 0] = 1.0  # whatever was said ends here
        head[tokenizer.eos_token_id, 0] = SHARP
        embedding[begins, :2] = torch.tensor([0.0, 1.0])
        gain = math.sqrt(WIDTH)  # what the norm makes of a vector with one entry
        for text, probability in reply.items():
            head[tokenizer.convert_tokens_to_ids(text), 1] = (SHARP + math.log(probability)) / gain
    return save(model, tokenizer, folder)
