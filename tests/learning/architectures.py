"""Seven architectures, tiny and random: weights drawn wide, so that a wrong mask or position shows in the logits."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from tests.learning.conftest import CHAT_TEMPLATE, save, train_tokenizer

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
}
GROUPED = SIZES | {"num_key_value_heads": 2}
GPT2_SIZES = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256}
KINDS = {
    "gpt2": (GPT2LMHeadModel, GPT2Config, GPT2_SIZES),
    "llama": (LlamaForCausalLM, LlamaConfig, SIZES | {"num_key_value_heads": 1, "tie_word_embeddings": True}),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config, GROUPED),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config, GROUPED | {"head_dim": 8}),
    "gemma2": (
        Gemma2ForCausalLM,
        Gemma2Config,
        GROUPED | {"head_dim": 8, "sliding_window": 9, "attn_logit_softcapping": 5.0, "final_logit_softcapping": 9.0},
    ),
    "mistral": (MistralForCausalLM, MistralConfig, GROUPED | {"sliding_window": 9}),
    "gpt_neox": (GPTNeoXForCausalLM, GPTNeoXConfig, SIZES),
}
NAMES = tuple(KINDS)


def random_model(name: str, vocabulary_size: int = 120, seed: int = 0, spread: float | None = 0.2) -> PreTrainedModel:
    """A model in evaluation mode; `spread` is the standard deviation of its matrices (None: as transformers draws)."""
    cls, config_class, sizes = KINDS[name]
    torch.manual_seed(seed)
    ends = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
    model: PreTrainedModel = cls(config_class(vocab_size=vocabulary_size, **sizes, **ends)).eval()
    if spread is not None:
        for parameter in model.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=spread)
    return model


def tokenizer_for(name: str) -> PreTrainedTokenizerFast:
    """Its own tokenizer; those of GPT-2 and GPT-NeoX have no chat template."""
    specials = {"bos_token": "<s>", "eos_token": "<|im_end|>", "pad_token": "<pad>"}
    return train_tokenizer(specials, 320, None if name.startswith("gpt") else CHAT_TEMPLATE)


def saved(name: str, folder: Path) -> tuple[Path, str]:
    """(path, prompt format) of a tiny model with its tokenizer."""
    tokenizer = tokenizer_for(name)
    # Rows to spare: the class that reads a tokenizer back may add a token of its own (Qwen2 does).
    model = random_model(name, len(tokenizer) + 8, spread=0.1)
    for names in ("bos_token_id", "eos_token_id", "pad_token_id"):
        setattr(model.config, names, getattr(tokenizer, names))
        setattr(model.generation_config, names, getattr(tokenizer, names))
    return save(model, tokenizer, folder), "plain" if name.startswith("gpt") else "chat"
