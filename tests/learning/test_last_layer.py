"""Behind the last layer only tokens that are read are worked on, and nothing that is read is changed by it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rlhf.learning.attention import NAME
from rlhf.learning.configs import EngineConfig
from rlhf.learning.forward import last_hidden_states, token_log_probabilities
from rlhf.learning.last_layer import decoder_layers
from rlhf.learning.packing import bucket
from rlhf.learning.preparation import prepare
from rlhf.learning.text import Encoded, right_pad
from tests.learning.architectures import NAMES, random_model

SHARED = list(range(20, 45))
ROWS = [
    Encoded(0, SHARED, [60, 61, 62, 63]),
    Encoded(1, list(range(5, 90)), [4, 5, 6]),
    Encoded(2, SHARED, [70]),
    Encoded(3, list(range(30, 70)), []),
    Encoded(4, list(range(50, 80)), [9, 8]),
]
NUM_TOKENS = 25 + 4 + 1 + 88 + 40 + 32  # the shared prompt once
NUM_PREDICTING = 1 + 3 + 3 + 2  # the shared prompt's last token once, and no completion's last one


def tokens_through(part: nn.Module) -> list[int]:
    seen: list[int] = []

    def count(_: nn.Module, arguments: tuple[Any, ...]) -> None:
        seen.append(arguments[0].shape[-2])

    part.register_forward_pre_hook(count)
    return seen


def in_the_last_layer(model: nn.Module) -> tuple[list[int], list[int], list[int]]:
    """Tokens through the last feed-forward part's own first matrix, the output projection and, below, another's."""
    first, last = decoder_layers(model)[0], decoder_layers(model)[-1]  # type: ignore[arg-type]
    attention = next(part for name, part in last.named_children() if name in ("self_attn", "attn", "attention"))
    projection = next(p for name, p in attention.named_children() if name in ("o_proj", "c_proj", "dense"))
    return tokens_through(next(last.mlp.children())), tokens_through(projection), tokens_through(first.mlp)  # type: ignore[arg-type,union-attr]


@pytest.mark.parametrize("name", NAMES)
def test_of_a_scored_answer_the_last_layer_works_on_its_last_token_alone(name: str) -> None:
    model = random_model(name)
    model.set_attn_implementation(NAME)
    batch = right_pad(ROWS, 0)
    last_hidden_states(model, batch)
    feed_forward, projection, below = in_the_last_layer(model)
    last_hidden_states(model, batch)
    assert feed_forward == projection == [bucket(len(ROWS))]
    assert below == [bucket(NUM_TOKENS)]


@pytest.mark.parametrize("name", NAMES)
def test_of_a_prompt_the_last_layer_works_on_its_last_token_alone(name: str) -> None:
    model = random_model(name)
    model.set_attn_implementation(NAME)
    batch = right_pad(ROWS, 0)
    token_log_probabilities(model, batch)
    feed_forward, projection, below = in_the_last_layer(model)
    token_log_probabilities(model, batch)
    assert feed_forward == projection == [bucket(NUM_PREDICTING)]
    assert below == [bucket(NUM_TOKENS)]


def test_recomputed_activations_are_those_of_their_own_batch() -> None:
    """A layer that is run again for the gradient must read what its own call read, not what the latest one did."""

    def gradients(recomputed: bool) -> list[Tensor]:
        model = random_model("llama")
        model.set_attn_implementation(NAME)
        if recomputed:
            prepare(EngineConfig(activation_checkpointing=True), model)
        one, _ = token_log_probabilities(model, right_pad(ROWS, 0))
        two = last_hidden_states(model, right_pad(ROWS[1:3], 0))
        (one.sum() + two.square().sum()).backward()
        return [p.grad for p in model.parameters() if p.grad is not None]

    for kept, again in zip(gradients(False), gradients(True), strict=True):
        assert torch.allclose(kept, again, rtol=1e-5, atol=1e-6)


def test_plain_calls_of_the_model_still_answer_for_every_token() -> None:
    model, ids = random_model("llama"), torch.arange(5, 45)[None]
    before = model(ids).logits
    model.set_attn_implementation(NAME)
    last_hidden_states(model, right_pad(ROWS, 0))
    torch.testing.assert_close(model(ids).logits, before, rtol=1e-4, atol=1e-4)
