"""What a job needs, counted from its rows: tokens and floating-point operations, and bytes of a decoding step.

A forward over a row of T tokens, C of which are predicted, costs 2 N T + 2 V d C + 2 L a T^2 operations: N weights of
the L layers (2 operations each), an output layer of V x d, and causal attention (queries by keys and weights by values,
2 a T^2 / 2 each) over a = heads x head width. Back costs twice as much, so training is three forwards: the familiar
6 N per token, plus attention. Model FLOP utilisation is this count over seconds and the device's peak. A prompt that
several completions share is counted once, and output layers only where something is predicted: work that a job doesn't
need raises nobody's utilisation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

BYTES = 2  # of a weight or a cached number in half precision


@dataclass(frozen=True)
class Model:
    """The shape of a decoder with gated feed-forward layers and tied embeddings."""

    hidden: int
    layers: int
    heads: int
    key_value_heads: int
    intermediate: int
    vocabulary: int

    @property
    def head_width(self) -> int:
        return self.hidden // self.heads

    @property
    def layer_weights(self) -> int:
        """N: of all layers, without embeddings, norms and biases."""
        own = self.hidden * self.head_width * (2 * self.heads + 2 * self.key_value_heads)
        return self.layers * (own + 3 * self.hidden * self.intermediate)

    @property
    def weights(self) -> int:
        return self.layer_weights + self.vocabulary * self.hidden


def forward(model: Model, num_tokens: int, num_predicted: int) -> float:
    """Operations of a forward over one row; of decoding it too: the same products, a token at a time."""
    attention = 2 * model.layers * model.heads * model.head_width * num_tokens**2
    output = 2 * model.vocabulary * model.hidden * num_predicted
    return 2 * model.layer_weights * num_tokens + output + attention


def shared(model: Model, prompt: int, completions: Sequence[int]) -> float:
    """Operations of a forward to the last tokens of several completions behind one prompt."""
    tails = sum(forward(model, prompt + tokens, 0) - forward(model, prompt, 0) for tokens in completions)
    return forward(model, prompt, 0) + tails


def decoding_bytes(model: Model, batch_size: int, context: float) -> float:
    """What one decoding step must read: every weight once, and keys and values of `context` tokens for each row."""
    cache = 2 * model.layers * model.key_value_heads * model.head_width * context
    return BYTES * (model.weights + batch_size * cache)
