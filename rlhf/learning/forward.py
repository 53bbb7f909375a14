"""What the models of every stage are asked for: log-probabilities of completions, and hidden states to put a head on.

One forward of the model's own over the rows of a batch, as a stream without padding where the model's attention is
ours. The output layer sees only positions that predict a completion token, and (B, T, V) never exists.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from rlhf.learning import distributed
from rlhf.learning.attention import NAME, can_pack
from rlhf.learning.last_layer import read_only_what_is_asked
from rlhf.learning.text import Batch, Encoded, right_pad

LOGITS_CHUNK_BYTES = 1 << 28  # of float32 logits that exist at a time
# Architectures of which a test knows that packed rows are separate rows; others are asked when they are loaded.
_TESTED = frozenset({"gpt2", "llama", "qwen2", "qwen3", "gemma2", "mistral", "gpt_neox"})
_PROBE = (Encoded(0, [5, 6, 7, 8, 9, 10, 11, 12, 13], [14, 15]), Encoded(1, [5, 6, 7, 8, 9, 10, 11, 12, 13], [16]))
_TOLERANCE = 1e-3  # of a logit, relative to the largest


def predicting_logits(model: PreTrainedModel, batch: Batch) -> Tensor:
    """Logits (N, V) of the N positions that predict a completion token, rows in order.

    Only these positions reach the output layer, through the model's own forward: a soft-cap or scale behind the
    layer is applied as the model applies it, and (B, T, V) never exists.
    """
    inputs, predicts = model_inputs(model, batch)
    logits: Tensor = model(**inputs, logits_to_keep=predicts).logits
    return logits.flatten(0, -2)


def completion_log_probabilities(model: PreTrainedModel, batch: Batch, temperature: float = 1.0) -> Tensor:
    """log pi(token | everything before it) at the temperature, of every completion token.

    Args:
        batch: B sequences, completions of up to C tokens.
        temperature: logits are divided by it; above 0.

    Returns:
        (B, C) float32 in nats, 0 at padding.
    """
    found, _ = token_log_probabilities(model, batch, temperature, with_entropy=False)
    return batch.to_completions(found)


def completion_log_probabilities_and_entropy(
    model: PreTrainedModel, batch: Batch, temperature: float = 1.0
) -> tuple[Tensor, Tensor]:
    """As `completion_log_probabilities`, with the entropy of each token's distribution, (B, C) in nats, no gradient."""
    found, entropy = token_log_probabilities(model, batch, temperature, with_entropy=True)
    return batch.to_completions(found), batch.to_completions(entropy)


def token_log_probabilities(
    model: PreTrainedModel, batch: Batch, temperature: float = 1.0, *, with_entropy: bool = False
) -> tuple[Tensor, Tensor]:
    """(N,) log-probabilities of the N completion tokens, rows in order, and their entropies ((0,) unless asked for).

    Where logits of all N positions would be large they are made in chunks of positions, and made again for the
    gradient: the same numbers, at the memory of one chunk.
    """
    targets = batch.completion_ids[batch.completion_mask]  # (N,)
    vocabulary = int(model.config.get_text_config().vocab_size)
    chunk = max(1, LOGITS_CHUNK_BYTES // (4 * vocabulary))
    if len(targets) <= chunk:
        return of_tokens(predicting_logits(model, batch), targets, temperature, with_entropy)
    return distributed.inside(model, lambda: _in_chunks(model, batch, targets, chunk, temperature, with_entropy))


def _in_chunks(
    model: PreTrainedModel, batch: Batch, targets: Tensor, chunk: int, temperature: float, with_entropy: bool
) -> tuple[Tensor, Tensor]:
    hidden = predicting_hidden_states(model, batch)  # (N, d)
    head = output_head(model)
    found, entropies = [], []
    for begin in range(0, len(targets), chunk):
        part = slice(begin, begin + chunk)

        def of_chunk(states: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
            return of_tokens(head(states), ids, temperature, with_entropy)

        one, entropy = checkpoint(of_chunk, hidden[part], targets[part], use_reentrant=False)
        found.append(one)
        entropies.append(entropy)
    return torch.cat(found), torch.cat(entropies)


def of_tokens(logits: Tensor, targets: Tensor, temperature: float, with_entropy: bool) -> tuple[Tensor, Tensor]:
    """Log-probabilities of `targets` (N,) under logits (N, V) at the temperature, and entropies ((0,) unless asked)."""
    logits = logits.float()
    if temperature != 1.0:
        logits = logits / temperature
    if not with_entropy:  # one fused kernel there and one back; gather and logsumexp take twice as long
        return -F.cross_entropy(logits, targets, reduction="none"), logits.new_zeros(0)
    normalised = logits.log_softmax(-1)
    entropy = -normalised.detach().exp().mul_(normalised.detach()).sum(-1)  # in place: (N, V) is large
    return normalised.gather(-1, targets[:, None]).squeeze(-1), entropy


def predicting_hidden_states(model: PreTrainedModel, batch: Batch) -> Tensor:
    """Hidden states (N, d), behind the last norm, of the N positions that predict a completion token, rows in order."""
    inputs, predicts = model_inputs(model, batch)
    hidden: Tensor = model.base_model(**inputs)[0]
    return hidden[predicts] if predicts.dim() == 2 else hidden[0].index_select(0, predicts)


def last_hidden_states(model: PreTrainedModel, batch: Batch) -> Tensor:
    """Hidden states (B, d), behind the last norm, of every row's last real token, found by length."""
    inputs, _ = model_inputs(model, batch, last_only=True)
    hidden: Tensor = model.base_model(**inputs)[0]
    if can_pack(model):
        return hidden[0].index_select(0, batch.stream.last)
    return hidden[torch.arange(len(hidden), device=hidden.device), batch.lengths - 1]


def model_inputs(model: PreTrainedModel, batch: Batch, *, last_only: bool = False) -> tuple[dict[str, Any], Tensor]:
    """What the model's forward is called with, and which of its positions predict a completion token.

    Rows go as one stream where the model's attention is ours; (N,) places in it. Else they are padded on the right,
    and the second value is (B, T) bool. What the model says of positions that predict nothing (last_only: that aren't a
    row's last) means nothing.
    """
    if not can_pack(model):
        # No attention mask: padding is on the right, and a causal model's real positions can't see it.
        return {"input_ids": batch.input_ids, "use_cache": False}, batch.predicts
    stream = batch.stream
    if model.config.model_type in _TESTED:
        read_only_what_is_asked(model)
    inputs = {
        "input_ids": batch.input_ids.flatten()[stream.source][None],  # (1, N)
        "position_ids": stream.position_ids,
        # Four dimensions: transformers hands it through as it is, and builds no mask of N x N.
        "attention_mask": torch.ones(1, 1, 1, 1, dtype=torch.bool, device=batch.input_ids.device),
        "packing": stream.for_last if last_only else stream.for_predicting,
        "use_cache": False,
    }
    return inputs, stream.predicts


class _Outputs:
    """A trunk's outputs: hidden states, and None for whatever else an architecture looks for."""

    def __init__(self, last_hidden_state: Tensor) -> None:
        self.last_hidden_state = last_hidden_state

    def __getitem__(self, index: int) -> Tensor | None:
        return self.last_hidden_state if index == 0 else None

    def __getattr__(self, name: str) -> None:
        return None


class _Given(nn.Module):
    """Stands where a model's trunk was and returns hidden states that were computed before."""

    def forward(self, *_: Any, inputs_embeds: Tensor, **__: Any) -> _Outputs:
        return _Outputs(inputs_embeds)


def output_head(model: PreTrainedModel) -> Callable[[Tensor], Tensor]:
    """What the model's own forward does behind its trunk, (N, d) -> (N, V): output layer, soft-cap, scale.

    A shallow copy whose trunk hands hidden states through; weights are the model's, and nothing of it is changed.
    """
    copied = copy.copy(model)
    copied._modules = dict(model._modules)
    copied._modules[model.base_model_prefix] = _Given()

    def head(hidden: Tensor) -> Tensor:
        logits: Tensor = copied.forward(inputs_embeds=hidden[None]).logits[0]
        return logits

    return head


@torch.no_grad()
def require_isolation(model: PreTrainedModel) -> None:
    """Leave our attention to the models that pack with it: an untested architecture must give packed rows the logits
    of the same rows alone under its own eager attention, or it is set back to that."""
    if model.config.model_type in _TESTED or not can_pack(model):
        return
    try:
        packed = predicting_hidden_states(model, right_pad(_PROBE, 0, model.device))
        model.set_attn_implementation("eager")
        alone = torch.cat([predicting_hidden_states(model, right_pad([row], 0, model.device)) for row in _PROBE])
    except Exception:  # an architecture that knows neither our keyword nor positions fails in its own way
        model.set_attn_implementation("eager")
        return
    if float((packed - alone).abs().max()) <= _TOLERANCE * float(alone.abs().max()):
        model.set_attn_implementation(NAME)
