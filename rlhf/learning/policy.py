"""Policies: causal language models of any name or path, loaded for exact work and saved for everybody.

Weights are float32 and dropout is off from the moment of loading; a saved policy loads with plain
`AutoModelForCausalLM.from_pretrained`, and equal weights give equal bytes.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from rlhf.learning import distributed, lora
from rlhf.learning.attention import NAME
from rlhf.learning.configs import InputError, TextConfig
from rlhf.learning.forward import require_isolation
from rlhf.learning.text import ensure_pad_token, stop_ids


class ModelError(InputError):
    """A model that can't be loaded or can't hold these texts; the message names it, what was found and expected."""


@dataclass(frozen=True)
class Policy:
    """A causal language model with what is needed to write and read its text."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    pad_id: int  # never one of stop_ids
    stop_ids: frozenset[int]


def load_policy(name_or_path: str, device: torch.device) -> Policy:
    """Load a policy in float32, dropout off, with a pad token of its own.

    float32 is asked for explicitly: `from_pretrained` keeps a checkpoint's dtype, and small PPO steps vanish in
    bfloat16.

    Raises:
        ModelError: nothing there that transformers can load, named in one sentence.
    """
    tokenizer = load_tokenizer(name_or_path)
    base = lora.base_of(name_or_path)
    attention = attention_for(base, device)
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            base, dtype=torch.float32, attn_implementation=attention, output_loading_info=True
        )
        model, loading = loaded
    except Exception as error:  # OSError, ValueError, SafetensorError, KeyError: a broken model breaks anywhere
        raise model_error(name_or_path, "a causal language model", error) from error
    if loading["missing_keys"]:  # transformers would go on with random numbers in their place
        missing = sorted(loading["missing_keys"])
        raise ModelError(f"{name_or_path}: expected a causal language model, found no weights for {missing[:3]}")
    pad_id = ensure_pad_token(tokenizer, model)
    require_embeddings(name_or_path, tokenizer, model)
    model = lora.merge_in(model, name_or_path)
    model.eval().to(device)
    require_isolation(model)
    return Policy(model=model, tokenizer=tokenizer, pad_id=pad_id, stop_ids=stop_ids(tokenizer, model))


def load_tokenizer(name_or_path: str) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a model. Raises ModelError, and for a path that doesn't exist says just that."""
    if _is_path(name_or_path) and not Path(name_or_path).is_dir():
        raise ModelError(f"{name_or_path}: no such model directory")
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(name_or_path)
    except Exception as error:  # the tokenizers library raises bare Exception for a broken file
        raise model_error(name_or_path, "a tokenizer", error) from error
    if tokenizer.eos_token_id is None:  # trained without one, a model never learns to stop
        raise ModelError(f"{name_or_path}: found a tokenizer without an end-of-text token, expected one (eos_token)")
    return tokenizer


def attention_for(name_or_path: str, device: torch.device) -> str:
    """Ours, which packs rows (`rlhf.learning.attention`); `eager` on a GPU for models whose scores have a soft-cap."""
    try:
        config = AutoConfig.from_pretrained(name_or_path)
    except Exception as error:  # as above
        raise model_error(name_or_path, "a model configuration", error) from error
    softcap = getattr(config, "attn_logit_softcapping", None)  # Gemma 2: no fused kernel of a GPU has it
    return "eager" if device.type == "cuda" and softcap is not None else NAME


def model_error(name_or_path: str, expected: str, error: Exception) -> ModelError:
    """One sentence for whatever transformers had to say."""
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return ModelError(f"{name_or_path}: expected {expected}, found none that loads ({first[:200]})")


def require_embeddings(name_or_path: str, tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel) -> None:
    """Raise ModelError where the tokenizer, pad token included, knows more tokens than the model has embeddings."""
    rows = int(model.get_input_embeddings().weight.shape[0])  # type: ignore[index]
    if len(tokenizer) > rows:
        raise ModelError(
            f"{name_or_path}: found a tokenizer of {len(tokenizer)} tokens, expected at most the {rows} that the "
            "model has embeddings for"
        )


def require_room(model: PreTrainedModel, text: TextConfig) -> None:
    """Raise ModelError when the longest prompt and completion together pass the model's positions."""
    needed = text.max_prompt_tokens + text.max_completion_tokens
    positions = getattr(model.config, "max_position_embeddings", None)
    if positions is not None and needed > positions:
        raise ModelError(
            f"text.max_prompt_tokens + text.max_completion_tokens: expected at most the {positions} positions "
            f"of {model.config.name_or_path or model.config.model_type}, found {needed}"
        )


def save_policy(policy: Policy, folder: Path) -> None:
    """Save model and tokenizer as `save_pretrained` does, whole or not at all."""
    save_model(policy.model, policy.tokenizer, folder)


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Save any model with its tokenizer: under a temporary name, fsynced, renamed. Equal weights give equal bytes."""
    state = distributed.model_state(model, lora.trained_names(model))
    if not distributed.is_main():
        return
    temporary = folder.with_name(folder.name + ".part")
    shutil.rmtree(temporary, ignore_errors=True)
    if lora.is_adapted(model):
        lora.save(model, state, temporary)
    else:
        model.save_pretrained(temporary, state_dict=state)
    tokenizer.save_pretrained(temporary)
    for path in (p for p in temporary.rglob("*") if p.is_file()):  # several chat templates make a folder
        with path.open("rb") as file:
            os.fsync(file.fileno())
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)


def _is_path(name_or_path: str) -> bool:
    return name_or_path.startswith(("/", ".", "~")) or Path(name_or_path).exists() or name_or_path.count("/") > 1
