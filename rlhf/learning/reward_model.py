"""The reward model: a decoder with one number per position, read at a completion's last real token.

It is a plain `AutoModelForSequenceClassification` with one label, so its folder loads anywhere and then gives the
raw score; an ensemble has a label per head, its score is their mean and their spread its doubt. Gain and bias that
normalise the score stand in config.json as `hone_reward_gain` and `hone_reward_bias`. The value model of PPO has the
same shape and is read at every position. Dropout is off everywhere.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from rlhf.learning import distributed, lora
from rlhf.learning.configs import InputError
from rlhf.learning.forward import last_hidden_states, predicting_hidden_states, require_isolation
from rlhf.learning.policy import ModelError, attention_for, load_tokenizer, model_error, require_embeddings, save_model
from rlhf.learning.text import Batch, Encoded, ensure_pad_token, right_pad

_ROUNDING = 1e-6  # relative: what padding and batching do to a float32 score
HEAD = "score"  # what transformers calls the head of a decoder's ...ForSequenceClassification


class NonFiniteScore(InputError):
    """A reward model gave a score that is no finite number; the message names it and the rows."""


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

    @property
    def num_heads(self) -> int:
        return int(getattr(self.network, HEAD).out_features)


def load(name_or_path: str, device: torch.device, seed: int = 0, num_heads: int = 1) -> RewardModel:
    """Load an earlier reward model as it is (heads, gain and bias), or put new heads on a policy.

    A new head is drawn from N(0, 1 / sqrt(d + 1)) (Stiennon et al. 2020 as corrected by 2403.17031), d the width.
    Weights are float32 whatever the checkpoint's type.

    Raises:
        ModelError: no such model, not a decoder with a sequence-classification class, or an earlier reward model with
            another number of heads.
    """
    model, has_head = _load(name_or_path, device, num_heads)
    if not has_head:
        _draw_head(model.network, seed)
    elif model.num_heads != num_heads:
        raise ModelError(f"num_heads: expected {model.num_heads} as the model {name_or_path} has, found {num_heads}")
    return model


def load_trained(name_or_path: str, device: torch.device) -> RewardModel:
    """Load a reward model to score with. Raises ModelError as `load` does, and for a policy: a new head is noise."""
    model, has_head = _load(name_or_path, device, 1)
    if not has_head:
        raise ModelError(f"{name_or_path}: expected a reward model, found a model without weights for its head {HEAD}")
    return model


def _load(name_or_path: str, device: torch.device, new_heads: int) -> tuple[RewardModel, bool]:
    """The model, and whether its heads came from the checkpoint; a policy gets `new_heads`, still without numbers."""
    tokenizer = load_tokenizer(name_or_path)
    base = lora.base_of(name_or_path)
    try:
        network, loading = AutoModelForSequenceClassification.from_pretrained(
            base,
            num_labels=_num_heads(name_or_path, new_heads),
            dtype=torch.float32,
            attn_implementation=attention_for(base, device),
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
    require_embeddings(name_or_path, tokenizer, network)
    require_isolation(network)
    network = lora.merge_in(network, name_or_path)
    network.eval().to(device)
    config = _config_of(name_or_path)
    gain = float(getattr(config, "hone_reward_gain", 1.0))
    bias = float(getattr(config, "hone_reward_bias", 0.0))
    model = RewardModel(network, tokenizer, pad_id, gain, bias)
    return model, not loading["missing_keys"] or lora.brings(network, HEAD)


def _config_of(name_or_path: str) -> Any:
    """Of an adapter its own, which has gain and bias; of an adapter without one that of the model below."""
    has_own = (Path(name_or_path) / "config.json").is_file()
    return AutoConfig.from_pretrained(name_or_path if has_own else lora.base_of(name_or_path))


def _num_heads(name_or_path: str, new_heads: int) -> int:
    """The heads that a checkpoint has, as far as it says so itself: a policy says 2 labels without having any."""
    config = _config_of(name_or_path)
    if hasattr(config, "hone_reward_gain"):
        return int(config.num_labels)
    is_classifier = any("SequenceClassification" in name for name in config.architectures or ())
    return 1 if is_classifier else new_heads


def save(reward_model: RewardModel, folder: Path) -> None:
    """Write weights, tokenizer, gain and bias."""
    reward_model.network.config.hone_reward_gain = reward_model.gain
    reward_model.network.config.hone_reward_bias = reward_model.bias
    save_model(reward_model.network, reward_model.tokenizer, folder)


def head_scores(reward_model: RewardModel, batch: Batch) -> Tensor:
    """Raw scores (B, H) of each head at the last real token, found by length and never by comparing ids with the pad
    id."""
    network = reward_model.network
    return distributed.inside(network, lambda: _heads(reward_model, last_hidden_states(network, batch)))


def last_token_scores(reward_model: RewardModel, batch: Batch) -> Tensor:
    """Raw scores (B,): the mean of `head_scores` over heads."""
    return head_scores(reward_model, batch).mean(1)


def completion_values(reward_model: RewardModel, batch: Batch) -> Tensor:
    """Normalised values (B, C) of completion tokens: V(s_t) is read before the token t that it precedes.

    The value of the first token is read at the prompt's last token; that of end-of-text is read before it. Zero at
    padding.
    """
    network = reward_model.network
    scores = distributed.inside(
        network, lambda: _heads(reward_model, predicting_hidden_states(network, batch))
    )  # (N, H)
    return batch.to_completions(reward_model.normalised(scores.mean(1)))


def score(
    reward_model: RewardModel,
    sequences: Sequence[Encoded],
    batch_size: int,
    on_batch: Callable[[int, int], None] | None = None,
) -> list[float]:
    """Raw scores of sequences in their order; as `score_heads`."""
    found: list[float] = score_heads(reward_model, sequences, batch_size, on_batch).mean(1).tolist()
    return found


def score_heads(
    reward_model: RewardModel,
    sequences: Sequence[Encoded],
    batch_size: int,
    on_batch: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Raw scores (N, H) of sequences in their order, in float64 on the CPU; batched by length, so that little is spent
    on padding. Equal sequences share a forward.

    on_batch is called after each batch with (sequences done, sequences in all).

    Raises:
        NonFiniteScore: names the rows.
    """
    device = next(reward_model.network.parameters()).device
    first: dict[object, int] = {}  # of equal sequences, the place of the first
    place_of = [first.setdefault((tuple(s.prompt_ids), tuple(s.completion_ids)), i) for i, s in enumerate(sequences)]
    different, times = list(first.values()), Counter(place_of)
    scores = torch.zeros(len(sequences), reward_model.num_heads, dtype=torch.float64)
    done, mine = 0, list[list[int]]()
    groups = groups_by_length([sequences[place].length for place in different], batch_size)
    for group, counts in distributed.share(groups):
        rows = [different[place] for place in group]
        batch = right_pad([sequences[row] for row in rows], reward_model.pad_id, device)
        with torch.no_grad():
            scores[rows] = head_scores(reward_model, batch).double().cpu()
        mine += [rows] if counts else []
        done = min(len(sequences), done + sum(times[row] for row in rows) * distributed.size())
        if on_batch is not None:
            on_batch(done, len(sequences))
    distributed.merge(mine, scores)
    scores = scores[place_of]
    bad = sorted({sequences[row].row_id for row in (~scores.isfinite().all(1)).nonzero()[:, 0].tolist()})
    if bad:
        name = reward_model.network.config.name_or_path
        raise NonFiniteScore(f"{name}: found scores that aren't finite for the rows {bad[:10]}, expected finite ones")
    return scores


def groups_by_length(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Indices of like lengths together, `size` at a time, shortest first; equal lengths keep their order."""
    order = sorted(range(len(lengths)), key=lambda index: lengths[index])
    return [order[start : start + size] for start in range(0, len(order), size)]


def normalise(
    reward_model: RewardModel, raw_scores: Sequence[float], demonstrations: Sequence[float] = ()
) -> RewardModel:
    """The same weights with a gain that gives these raw scores (biased) standard deviation 1, and a bias that gives
    demonstrations mean 0.

    Sources: Ziegler et al. 2019, section 2.1 (the gain, on samples of the policy that training starts from);
    InstructGPT, section 3.5, and Stiennon et al. 2020 (the bias). Without demonstrations the raw scores themselves get
    mean 0. Scores without spread, up to the rounding of float32, get gain 1: its inverse would blow rounding up to
    scores.
    """
    scores = torch.tensor(raw_scores, dtype=torch.float64)
    zero = torch.tensor(demonstrations, dtype=torch.float64).mean() if len(demonstrations) else scores.mean()
    deviation = float(scores.std(correction=0))
    gain = 1 / deviation if deviation > _ROUNDING * float(scores.abs().max()) else 1.0
    return replace(reward_model, gain=gain, bias=-float(zero) * gain)


def _heads(reward_model: RewardModel, hidden: Tensor) -> Tensor:
    scores: Tensor = getattr(reward_model.network, HEAD)(hidden)
    return scores.float()  # (N, H)


def _draw_head(network: PreTrainedModel, seed: int) -> None:
    weight: Tensor = getattr(network, HEAD).weight
    drawn = torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        weight.copy_(drawn / math.sqrt(weight.shape[1] + 1))
