"""Merged weights answer as the adapter does, and plain transformers loads them without peft."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from rlhf.learning import deliver, lora
from rlhf.learning.configs import DeliverConfig, LoRAConfig
from rlhf.learning.policy import Policy, load_policy, save_policy
from rlhf.learning.reward_model import HEAD, load, save

CPU = torch.device("cpu")
IDS = torch.tensor([[5, 6, 7, 8]])


def trained(model: torch.nn.Module) -> None:
    """As if it had been: B is no longer 0."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".lora_B." in name:
                parameter.normal_(generator=torch.Generator().manual_seed(3), std=0.1)


def delivered(folder: Path, adapter: Path) -> Path:
    folder.mkdir()
    deliver.run(folder, DeliverConfig(model=str(adapter)))
    assert not list((folder / "model").glob("adapter*"))
    assert json.loads((folder / "result.json").read_text())["outputs"].keys() >= {"model/model.safetensors"}
    return folder / "model"


def adapter_of(llama_path: Path, folder: Path) -> Policy:
    policy = load_policy(str(llama_path), CPU)
    lora.add(policy.model, LoRAConfig(rank=4), seed=1)
    trained(policy.model)
    save_policy(policy, folder)
    assert (folder / "adapter_config.json").exists()
    return policy


def test_a_merged_policy_gives_the_adapters_logits(llama_path: Path, tmp_path: Path) -> None:
    policy = adapter_of(llama_path, tmp_path / "adapter")
    merged = AutoModelForCausalLM.from_pretrained(
        delivered(tmp_path / "run", tmp_path / "adapter"), dtype=torch.float32
    )
    plain = AutoModelForCausalLM.from_pretrained(llama_path, dtype=torch.float32)
    with torch.no_grad():
        wanted, found, without = (model(input_ids=IDS).logits for model in (policy.model, merged, plain))
    assert torch.allclose(wanted, found, atol=1e-5)
    assert not torch.allclose(wanted, without[..., : wanted.shape[-1]], atol=1e-2)


def test_an_adapter_on_an_adapter_is_merged_whole(llama_path: Path, tmp_path: Path) -> None:
    adapter_of(llama_path, tmp_path / "first")
    second = load_policy(str(tmp_path / "first"), CPU)
    lora.add(second.model, LoRAConfig(rank=2), seed=2)
    trained(second.model)
    save_policy(second, tmp_path / "second")
    merged = AutoModelForCausalLM.from_pretrained(delivered(tmp_path / "run", tmp_path / "second"), dtype=torch.float32)
    with torch.no_grad():
        assert torch.allclose(second.model(input_ids=IDS).logits, merged(input_ids=IDS).logits, atol=1e-5)


def test_a_merged_reward_model_keeps_its_head_gain_and_bias(llama_path: Path, tmp_path: Path) -> None:
    model = load(str(llama_path), CPU, seed=4)
    lora.add(model.network, LoRAConfig(rank=4), seed=1, head=HEAD)
    trained(model.network)
    scaled = type(model)(model.network, model.tokenizer, model.pad_id, 2.5, -0.5)
    save(scaled, tmp_path / "adapter")
    merged = AutoModelForSequenceClassification.from_pretrained(
        delivered(tmp_path / "run", tmp_path / "adapter"), dtype=torch.float32
    )
    assert (merged.config.hone_reward_gain, merged.config.hone_reward_bias) == (2.5, -0.5)
    with torch.no_grad():
        assert torch.allclose(model.network(input_ids=IDS).logits, merged(input_ids=IDS).logits, atol=1e-5)
