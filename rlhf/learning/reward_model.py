"""The reward model: a decoder with one number per position, read at a completion's last real token.

It is a plain `AutoModelForSequenceClassification` with one label, so its folder loads anywhere and then gives the
raw score. Gain and bias that normalise the score stand in config.json as `hone_reward_gain` and `hone_reward_bias`.
The value model of PPO has the same shape and is read at every position. Dropout is off everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification, PreTrainedModel, PreTrainedTokenizerBase

from rlhf.learning.policy import ModelError, attention_for, load_tokenizer, model_error, save_model
from rlhf.learning.text import Batch, Encoded, ensure_pad_token, right_pad

_ROUNDING = 1e-6  # relative: what padding and batching do to a float32 score
HEAD = "score"  # what transformers calls the head of a decoder's ...ForSequenceClassification


@dataclass(frozen=True)
class RewardModel:
    """Weights, tokenizer, and the line from raw to normalised scores."""

    network: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    pad_id: int
    gain: float = 1.0
    bias: float = 0.0

    def normalised(self, raw_scores: Tensor) -> Tensor:
        return self.gain * raw_scores + self.bias


def load(name_or_path: str, device: torch.device, seed: int = 0) -> RewardModel:
    """Load an earlier reward model as it is (head, gain and bias), or put a new head on a policy.

    A new head is drawn from N(0, 1 / sqrt(d + 1)) (Stiennon et al. 2020 as corrected by 2403.17031), d the width.
    Weights are float32 whatever the checkpoint's type.

    Raises:
        ModelError: no such model, or not a decoder with a sequence-classification class.
    """
    model, has_head = _load(name_or_path, device)
    if not has_head:
        _draw_head(model.network, seed)
    return model


def load_trained(name_or_path: str, device: torch.device) -> RewardModel:
    """Load a reward model to score with. Raises ModelError as `load` does, and for a policy: a new head is noise."""
    model, has_head = _load(name_or_path, device)
    if not has_head:
        raise ModelError(f"{name_or_path}: expected a reward model, found a model without weights for its head {HEAD}")
    return model


def _load(name_or_path: str, device: torch.device) -> tuple[RewardModel, bool]:
    """The model, and whether its head came from the checkpoint."""
    tokenizer = load_tokenizer(name_or_path)
    try:
        network, loading = AutoModelForSequenceClassification.from_pretrained(
            name_or_path,
            num_labels=1,
            dtype=torch.float32,
            attn_implementation=attention_for(name_or_path, device),
            output_loading_info=True,
        )
    except Exception as error:  # OSError, ValueError, SafetensorError, KeyError: a broken model breaks anywhere
        raise model_error(name_or_path, "a decoder that can carry a reward head", error) from error
    missing = set(loading["missing_keys"]) - {f"{HEAD}.weight"}
    if missing or not isinstance(getattr(network, HEAD, None), torch.nn.Linear):
        raise ModelError(
            f"{name_or_path}: expected the weights of a decoder with a head named {HEAD}, "
            f"found {type(network).__name__} without {sorted(missing)}"
        )
    pad_id = ensure_pad_token(tokenizer, network)
    gain = float(getattr(network.config, "hone_reward_gain", 1.0))
    bias = float(getattr(network.config, "hone_reward_bias", 0.0))
    model = RewardModel(network.to(device).eval(), tokenizer, pad_id, gain, bias)
    return model, not loading["missing_keys"]


def save(reward_model: RewardModel, folder: Path) -> None:
    """Write weights, tokenizer, gain and bias."""
    reward_model.network.config.hone_reward_gain = reward_model.gain
    reward_model.network.config.hone_reward_bias = reward_model.bias
    save_model(reward_model.network, reward_model.tokenizer, folder)


def last_token_scores(reward_model: RewardModel, batch: Batch) -> Tensor:
    """Raw scores (B,) at the last real token, found by length and never by comparing ids with the pad id."""
    hidden = _hidden_states(reward_model, batch)  # (B, T, d)
    rows = torch.arange(len(hidden), device=hidden.device)
    return _head(reward_model, hidden[rows, batch.lengths - 1])


def completion_values(reward_model: RewardModel, batch: Batch) -> Tensor:
    """Normalised values (B, C) of completion tokens: V(s_t) is read before the token t that it precedes.

    The value of the first token is read at the prompt's last token; that of end-of-text is read before it. Zero at
    padding.
    """
    hidden = _hidden_states(reward_model, batch)  # (B, T, d)
    return batch.to_completions(reward_model.normalised(_head(reward_model, hidden[batch.predicts])))


def score(
    reward_model: RewardModel,
    sequences: Sequence[Encoded],
    batch_size: int,
    on_batch: Callable[[int, int], None] | None = None,
) -> list[float]:
    """Raw scores of sequences in their order; they are batched by length, so that little is spent on padding.

    on_batch is called after each batch with (sequences done, sequences in all).
    """
    device = next(reward_model.network.parameters()).device
    scores = [0.0] * len(sequences)
    done = 0
    for rows in groups_by_length([sequence.length for sequence in sequences], batch_size):
        batch = right_pad([sequences[row] for row in rows], reward_model.pad_id, device)
        with torch.inference_mode():
            found = last_token_scores(reward_model, batch).tolist()
        for row, value in zip(rows, found, strict=True):
            scores[row] = value
        done += len(rows)
        if on_batch is not None:
            on_batch(done, len(sequences))
    return scores


def groups_by_length(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Indices of like lengths together, `size` at a time, shortest first; equal lengths keep their order."""
    order = sorted(range(len(lengths)), key=lambda index: lengths[index])
    return [order[start : start + size] for start in range(0, len(order), size)]


def normalise(reward_model: RewardModel, raw_scores: Sequence[float]) -> RewardModel:
    """The same weights with gain and bias that give these raw scores mean 0 and (biased) standard deviation 1.

    Source: Ziegler et al. 2019, section 2.1. Scores without spread, up to the rounding of float32, get gain 1: its
    inverse would blow rounding up to scores.
    """
    scores = torch.tensor(raw_scores, dtype=torch.float64)
    deviation = float(scores.std(correction=0))
    gain = 1 / deviation if deviation > _ROUNDING * float(scores.abs().max()) else 1.0
    return replace(reward_model, gain=gain, bias=-float(scores.mean()) * gain)


def _hidden_states(reward_model: RewardModel, batch: Batch) -> Tensor:
    # No mask and no positions: with padding on the right no real position can see a padded one.
    network = reward_model.network
    hidden: Tensor = network.base_model(input_ids=batch.input_ids, use_cache=False)[0]
    return hidden


def _head(reward_model: RewardModel, hidden: Tensor) -> Tensor:
    scores: Tensor = getattr(reward_model.network, HEAD)(hidden)[:, 0]
    return scores.float()


def _draw_head(network: PreTrainedModel, seed: int) -> None:
    weight: Tensor = getattr(network, HEAD).weight
    drawn = torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        weight.copy_(drawn / math.sqrt(weight.shape[1] + 1))
