"""Packed rows are separate rows, on every architecture: logits, gradients, and prompts that several rows share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import BloomConfig, BloomForCausalLM, GptOssConfig, GptOssForCausalLM, PreTrainedModel

from rlhf.learning import forward
from rlhf.learning.attention import NAME, attention, can_pack
from rlhf.learning.forward import (
    completion_log_probabilities,
    completion_log_probabilities_and_entropy,
    last_hidden_states,
    predicting_logits,
    require_isolation,
    token_log_probabilities,
)
from rlhf.learning.text import Encoded, right_pad
from tests.learning.architectures import GROUPED, NAMES, random_model

A, B, C = list(range(20, 32)), list(range(40, 60)), [7, 8, 9]
ROWS = [  # prompts shared by three, two and two rows (too short to be worth sharing), and one alone; one empty answer
    Encoded(0, A, list(range(60, 69))),
    Encoded(1, B, [11, 12, 13]),
    Encoded(2, A, list(range(70, 100))),
    Encoded(3, C, list(range(50, 61))),
    Encoded(4, A, [5]),
    Encoded(5, C, list(range(10, 50))),
    Encoded(6, B, []),
    Encoded(7, list(range(5, 95)), [4, 5, 6]),
]


@pytest.fixture(params=NAMES)
def model(request: pytest.FixtureRequest) -> PreTrainedModel:
    return random_model(request.param)


@pytest.fixture
def tiny_chunks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(forward, "LOGITS_CHUNK_BYTES", 4 * 120 * 7)  # seven positions of a vocabulary of 120
    yield


def everything(model: PreTrainedModel, rows: list[Encoded]) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Log-probabilities, last hidden states, and the gradient of a sum of both."""
    model.zero_grad()
    batch = right_pad(rows, 0)
    found, _ = token_log_probabilities(model, batch, 0.7)
    last = last_hidden_states(model, batch)
    (found.sum() + last.square().sum()).backward()  # type: ignore[no-untyped-call]
    gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    return found.detach(), last.detach(), gradients


def assert_close(one: Tensor, two: Tensor) -> None:
    assert float((one - two).detach().abs().max()) <= 1e-4 * max(1.0, float(two.detach().abs().max()))


def test_a_stream_of_rows_gives_what_the_rows_alone_give_under_eager_attention(model: PreTrainedModel) -> None:
    model.set_attn_implementation(NAME)
    packed = everything(model, ROWS)
    model.set_attn_implementation("eager")
    alone = [everything(model, [row]) for row in ROWS]
    assert_close(packed[0], torch.cat([found for found, _, _ in alone]))
    assert_close(packed[1], torch.cat([last for _, last, _ in alone]))
    for index, gradient in enumerate(packed[2]):
        assert_close(gradient, sum((gradients[index] for _, _, gradients in alone), torch.zeros(())))


def test_logits_are_those_of_the_model_itself_with_its_scale_and_soft_cap(model: PreTrainedModel) -> None:
    model.set_attn_implementation(NAME)
    batch = right_pad(ROWS, 0)
    packed = predicting_logits(model, batch)
    model.set_attn_implementation("eager")
    expected = [
        model(torch.tensor([r.prompt_ids + r.completion_ids])).logits[0, len(r.prompt_ids) - 1 : -1] for r in ROWS
    ]
    assert_close(packed, torch.cat(expected))


@pytest.mark.usefixtures("tiny_chunks")
def test_chunks_change_neither_log_probabilities_nor_gradients(
    model: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.set_attn_implementation(NAME)
    chunked = everything(model, ROWS)
    monkeypatch.setattr(forward, "LOGITS_CHUNK_BYTES", 1 << 28)
    whole = everything(model, ROWS)
    assert_close(chunked[0], whole[0])
    for one, two in zip(chunked[2], whole[2], strict=True):
        assert_close(one, two)


@pytest.mark.usefixtures("tiny_chunks")
def test_logits_of_more_positions_than_a_chunk_never_exist() -> None:
    model = random_model("llama")
    model.set_attn_implementation(NAME)
    heights: list[int] = []
    model.lm_head.register_forward_hook(lambda module, inputs, output: heights.append(output.shape[-2]))
    token_log_probabilities(model, right_pad(ROWS, 0))
    assert max(heights) <= 7 and sum(heights) == sum(len(row.completion_ids) for row in ROWS)


@pytest.mark.usefixtures("tiny_chunks")
def test_entropies_of_chunks_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model("qwen2")
    model.set_attn_implementation(NAME)
    batch = right_pad(ROWS, 0)
    log_probabilities, entropies = completion_log_probabilities_and_entropy(model, batch, 0.9)
    monkeypatch.setattr(forward, "LOGITS_CHUNK_BYTES", 1 << 28)
    distribution = torch.distributions.Categorical(logits=predicting_logits(model, batch) / 0.9)
    assert_close(entropies[batch.completion_mask], distribution.entropy())
    assert_close(log_probabilities, completion_log_probabilities(model, batch, 0.9))


def test_a_prompt_of_several_rows_is_laid_out_once() -> None:
    stream = right_pad(ROWS, 0).stream
    completions = sum(len(row.completion_ids) for row in ROWS)
    assert stream.packing.num_real == len(A) + len(B) + 2 * len(C) + 90 + completions
    assert stream.packing.num_tokens - stream.packing.num_real < 16


@pytest.mark.parametrize("batched", [[0, 2, 4], [3, 5], [1, 6], [7]])
def test_a_row_does_not_depend_on_what_it_is_packed_with(batched: list[int]) -> None:
    model = random_model("qwen2")
    model.set_attn_implementation(NAME)
    whole = right_pad(ROWS, 0)
    found = completion_log_probabilities(model, whole)
    part = right_pad([ROWS[index] for index in batched], 0)
    some = completion_log_probabilities(model, part)
    assert_close(some, found[batched][:, : some.shape[1]])


def test_an_architecture_whose_attention_is_its_own_keeps_it() -> None:
    bloom = BloomForCausalLM(BloomConfig(vocab_size=120, hidden_size=32, n_layer=2, n_head=4)).eval()  # ALiBi
    sinks = GptOssForCausalLM(  # a learned logit beside every row of scores
        GptOssConfig(vocab_size=120, num_local_experts=2, num_experts_per_tok=1, head_dim=8, **GROUPED)
    ).eval()
    for model in (bloom, sinks):
        model.set_attn_implementation(NAME)
        require_isolation(model)
        assert not can_pack(model)
        found, _ = token_log_probabilities(model, right_pad(ROWS, 0))
        alone = [token_log_probabilities(model, right_pad([row], 0))[0] for row in ROWS]
        assert_close(found, torch.cat(alone))


def test_the_name_of_our_attention_is_not_saved_with_a_model(tmp_path: Path) -> None:
    model = random_model("llama")
    model.set_attn_implementation(NAME)
    model.save_pretrained(tmp_path)
    assert NAME not in (tmp_path / "config.json").read_text()


def test_half_precision_on_a_cpu_attends_in_float32_under_autocast_too() -> None:
    draw = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(2, heads, 6, 8, generator=draw).bfloat16() for heads in (4, 2, 2))
    module = torch.nn.Module()
    exact, _ = attention(module, query.float(), key.float(), value.float(), None)
    halved, _ = attention(module, query, key, value, None)
    with torch.autocast("cpu", dtype=torch.bfloat16):  # rotary positions leave queries and keys in float32
        mixed, _ = attention(module, query.float(), key.float(), value, None)
    assert halved.dtype == mixed.dtype == torch.bfloat16
    torch.testing.assert_close(halved, exact.bfloat16(), rtol=0, atol=0)
    torch.testing.assert_close(mixed, exact.bfloat16(), rtol=0, atol=0)
