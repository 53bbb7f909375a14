"""Recomputed activations change memory and no bit; bfloat16 changes forwards and no loss's type; compiling may fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from rlhf.learning import loop
from rlhf.learning.attention import NAME
from rlhf.learning.configs import Config, ConfigError, EngineConfig, from_dict
from rlhf.learning.forward import completion_log_probabilities
from rlhf.learning.policy import load_policy
from rlhf.learning.preparation import compile_layers, decoder_layers, prepare, why_not
from rlhf.learning.text import Encoded, right_pad
from tests.learning.architectures import NAMES, random_model
from tests.learning.rankings import CPU, metric_lines, new_reward_model, weights
from tests.learning.several import KINDS, LORA, config_of, job, work

ROWS = right_pad([Encoded(i, [5, 6, 7, 8 + i], [9, 10, 11][: 1 + i]) for i in range(3)], 0)
RECOMPUTED = EngineConfig(activation_checkpointing=True)


def packed(name: str) -> PreTrainedModel:
    model = random_model(name)
    model.set_attn_implementation(NAME)
    return model


def gradients(model: PreTrainedModel) -> dict[str, Tensor]:
    model.zero_grad()
    completion_log_probabilities(model, ROWS).sum().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@contextmanager
def counted(module: nn.Module, found: list[Any], what: Callable[[Any], Any] = lambda _: 1) -> Iterator[None]:
    handle = module.register_forward_hook(lambda _, inputs, output: found.append(what(output)))
    try:
        yield
    finally:
        handle.remove()


def saved_bytes(model: PreTrainedModel) -> int:
    """Bytes that autograd keeps between the forward and the way back, weights apart."""
    held = {p.data_ptr() for p in model.parameters()}
    sizes: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in held:
            sizes[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = completion_log_probabilities(model, ROWS).sum()
    loss.backward()
    return sum(sizes.values())


@pytest.mark.parametrize("name", NAMES)
def test_recomputed_activations_change_no_bit_of_any_gradient(name: str) -> None:
    plain, prepared = packed(name), packed(name)
    prepare(RECOMPUTED, prepared)
    attention: list[int] = []
    part = next(m for name, m in decoder_layers(prepared)[0].named_children() if "att" in name and "norm" not in name)
    with counted(part, attention):
        found = gradients(prepared)
    assert len(attention) == 2  # once on the way there, once on the way back
    expected = gradients(plain)
    assert found.keys() == expected.keys() and all(torch.equal(found[key], expected[key]) for key in expected)
    assert saved_bytes(prepared) < 0.6 * saved_bytes(plain)
    with torch.no_grad(), counted(part, attention):
        completion_log_probabilities(prepared, ROWS)
    assert len(attention) == 2 + 1  # without a gradient there is nothing to run again


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_with_recomputed_activations_ends_with_the_same_bytes(
    kind: str, llama_path: Path, tmp_path: Path
) -> None:
    config: Config = config_of(kind, llama_path, new_reward_model(tmp_path / "reward", llama_path), 4)
    if kind == "dpo":
        config = replace(config, lora=LORA)  # type: ignore[type-var]
    found = []
    for recomputed in (False, True):
        folder = tmp_path / str(recomputed)
        work(*job(kind, folder, config, activation_checkpointing=recomputed))
        found.append(
            (folder / "model/adapter_model.safetensors").read_bytes() if kind == "dpo" else weights(folder / "model")
        )
    assert found[0] == found[1]
    curves = [[line["gradient_norm"] for line in metric_lines(tmp_path / str(on))] for on in (False, True)]
    assert curves[0] == curves[1]


def test_bfloat16_is_the_type_of_forwards_and_of_nothing_that_is_kept(llama_path: Path, tmp_path: Path) -> None:
    model = load_policy(str(llama_path), CPU).model
    types: dict[str, list[torch.dtype]] = {"bfloat16": [], "float32": []}
    for precision, found in types.items():
        engine = EngineConfig(precision=precision)  # type: ignore[arg-type]
        with counted(decoder_layers(model)[0].mlp, found, lambda output: output.dtype), loop.autocast(engine, CPU):  # type: ignore[arg-type]
            loss = -completion_log_probabilities(model, ROWS).sum()
        assert loss.dtype == torch.float32
        loss.backward()
        assert all(p.dtype == p.grad.dtype == torch.float32 for p in model.parameters() if p.grad is not None)
    assert types == {"bfloat16": [torch.bfloat16], "float32": [torch.float32]}
    config = config_of("sft", llama_path, llama_path, 4)
    for precision in types:
        work(*job("sft", tmp_path / precision, config, precision=precision))
    losses = [[line["loss"] for line in metric_lines(tmp_path / precision)] for precision in types]
    assert losses[0] != losses[1] and losses[0] == pytest.approx(losses[1], rel=0.02)


def test_a_machine_that_cannot_compile_says_so_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("No working C++ compiler found in CXX")

    monkeypatch.setattr(torch, "compile", broken)
    model, plain = packed("llama"), packed("llama")
    with pytest.warns(UserWarning, match="engine.compile: expected a working torch.compile, found No working C"):
        prepare(EngineConfig(compile=True), model)
    assert torch.equal(completion_log_probabilities(model, ROWS), completion_log_probabilities(plain, ROWS))


def test_a_wrong_engine_is_refused() -> None:
    with pytest.raises(ConfigError, match="sft.engine.activation_checkpointing: expected bool, found 1"):
        from_dict("sft", {"model": "m", "engine": {"activation_checkpointing": 1}})
    with pytest.raises(ConfigError, match="sft.engine.compile: expected bool, found 'yes'"):
        from_dict("sft", {"model": "m", "engine": {"compile": "yes"}})


@pytest.mark.proofs
def test_compiled_layers_give_the_same_numbers() -> None:
    assert why_not() is None
    model, plain = packed("llama"), packed("llama")
    layers = decoder_layers(model)
    assert compile_layers(layers)
    found, expected = gradients(model), gradients(plain)
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], atol=1e-5, rtol=1e-4)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
