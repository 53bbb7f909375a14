"""LoRA in every stage: the reference is the same weights with the adapter off, and a saved adapter loads anywhere."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import AutoPeftModelForCausalLM, AutoPeftModelForSequenceClassification, PeftModel
from torch import Tensor
from transformers import AutoModelForCausalLM

from rlhf.learning import actors, lora, needs, reward_model, sft
from rlhf.learning.attention import can_pack
from rlhf.learning.configs import ConfigError, LoRAConfig, SFTConfig, from_dict
from rlhf.learning.forward import completion_log_probabilities
from rlhf.learning.lora import AdapterError
from rlhf.learning.policy import load_policy
from rlhf.learning.text import Encoded, right_pad
from tests.learning.rankings import CPU, metric_lines, new_reward_model, result, text_config
from tests.learning.several import KINDS, LORA, config_of, folder_of, job, work

IDS = torch.arange(5, 25)[None]
ROWS = right_pad([Encoded(0, [5, 6, 7], [8, 9, 10]), Encoded(1, [11, 12], [13, 14, 15, 16])], 0)
OUTPUT = {"sft": "model", "reward": "reward_model", "dpo": "policy", "ppo": "policy", "grpo": "policy"}


@pytest.fixture(scope="module")
def reward_path(llama_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_reward_model(tmp_path_factory.mktemp("reward") / "model", llama_path)


@pytest.fixture(scope="module")
def runs(llama_path: Path, reward_path: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Twelve steps of every stage with LoRA."""
    root = tmp_path_factory.mktemp("runs")
    for kind in KINDS:
        work(*job(kind, root / kind, config_of(kind, llama_path, reward_path, 12, lora=LORA), checkpoint_every=5))
    return {kind: root / kind for kind in KINDS}


@torch.no_grad()
def logits(model: Any) -> Tensor:
    found: Tensor = model.eval()(IDS).logits
    return found


def newest_state(folder: Path) -> dict[str, Any]:
    path = max((folder / "checkpoint").glob("*/state.pt"), key=lambda path: int(path.parent.name))
    found: dict[str, Any] = torch.load(path, weights_only=True)
    return found


def test_a_new_adapter_changes_nothing_and_a_moved_one_can_be_switched_off(any_model: tuple[Path, str]) -> None:
    policy, plain = load_policy(str(any_model[0]), CPU).model, load_policy(str(any_model[0]), CPU).model
    before = completion_log_probabilities(plain, ROWS)
    lora.add(policy, LORA, seed=0)
    assert can_pack(policy) and torch.equal(completion_log_probabilities(policy, ROWS), before)
    trained = {name for name, p in policy.named_parameters() if p.requires_grad}
    assert trained and all(".lora_" in name for name in trained)
    assert not any("lm_head" in name for name in trained)
    with torch.no_grad():
        for name, p in policy.named_parameters():
            p += 0.1 if ".lora_B." in name else 0.0
    moved = completion_log_probabilities(policy, ROWS)
    assert not torch.allclose(moved, before)
    with torch.no_grad(), lora.start_of(policy, policy):
        assert torch.equal(completion_log_probabilities(policy, ROWS), before)
    with lora.start_of(plain, policy):  # a reference with weights of its own leaves the policy as it is
        assert torch.equal(completion_log_probabilities(policy, ROWS), moved)
    moved.sum().backward()
    assert all(p.grad is not None for p in policy.parameters() if p.requires_grad)


@pytest.mark.parametrize("kind", KINDS)
def test_every_stage_learns_and_trains_and_keeps_the_adapter_alone(kind: str, runs: dict[str, Path]) -> None:
    state = newest_state(runs[kind])
    for model in state["models"].values():
        assert model and all(".lora_" in name or ".modules_to_save." in name for name in model)
    num_trained = len(state["models"][OUTPUT[kind]])
    assert len(next(iter(state["optimizers"].values()))["state"]) == num_trained
    moved = [t for name, t in state["models"][OUTPUT[kind]].items() if ".lora_B." in name]
    assert moved and all(tensor.any() for tensor in moved)
    lines = metric_lines(runs[kind])
    if kind in ("sft", "reward", "dpo"):
        losses = [line["loss"] for line in lines]
        assert sum(losses[-8:]) < sum(losses[:8])  # two epochs of batches that differ
    else:
        assert lines[-1]["kl"] != 0.0 and lines[0]["gradient_norm"] > 0


def test_the_reference_needs_no_second_model_and_is_where_training_started(
    runs: dict[str, Path], llama_path: Path, reward_path: Path, tmp_path: Path
) -> None:
    config = config_of("ppo", llama_path, reward_path, lora=LORA)
    networks = actors.load(folder_of("ppo", tmp_path), config, CPU)  # type: ignore[arg-type]
    assert networks.reference is networks.sft is networks.policy.model
    networks.policy.model.load_state_dict(newest_state(runs["ppo"])["models"]["policy"], strict=False)
    with lora.start_of(networks.reference, networks.policy.model):
        off = logits(networks.policy.model)
    assert torch.equal(off, logits(load_policy(str(llama_path), CPU).model))
    assert not torch.equal(off, logits(networks.policy.model))
    for kind in ("ppo", "grpo"):  # the KL of the first iteration, whose rollouts the start itself wrote
        first = metric_lines(runs[kind])[0]
        assert first["kl"] == 0.0 and first["first_ratio"] == 1.0
    assert metric_lines(runs["dpo"])[0]["loss"] == pytest.approx(math.log(2), abs=1e-7)


def test_a_saved_policy_is_an_adapter_that_peft_transformers_and_we_load(
    any_model: tuple[Path, str], tmp_path: Path
) -> None:
    path, prompt_format = any_model
    text = text_config(prompt_format)
    sft.run(folder_of("sft", tmp_path), SFTConfig(str(path), text=text, num_epochs=2, batch_size=8, lora=LORA))
    folder = tmp_path / "model"
    assert not list(folder.glob("model*.safetensors"))
    ours = logits(load_policy(str(folder), CPU).model)[..., :300]  # a row more where a pad token was missing
    for other in (
        AutoPeftModelForCausalLM.from_pretrained(folder),
        PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(path), folder),
        AutoModelForCausalLM.from_pretrained(folder),
    ):
        torch.testing.assert_close(logits(other)[..., :300], ours, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(logits(AutoModelForCausalLM.from_pretrained(path))[..., :300], ours, atol=1e-5)


def test_a_saved_reward_model_keeps_its_head_gain_and_bias(runs: dict[str, Path]) -> None:
    folder = runs["reward"] / "model"
    ours = reward_model.load_trained(str(folder), CPU)
    theirs = AutoPeftModelForSequenceClassification.from_pretrained(folder, num_labels=1)
    torch.testing.assert_close(logits(theirs), logits(ours.network), atol=1e-5, rtol=1e-5)
    written = json.loads((folder / "config.json").read_text())
    assert (ours.gain, ours.bias) == (written["hone_reward_gain"], written["hone_reward_bias"]) != (1.0, 0.0)
    assert result(runs["reward"])["metrics"]["accuracy"] > 0.5


@pytest.mark.parametrize("kind", ["sft", "reward"])
def test_the_next_run_starts_from_a_saved_adapter_and_saves_both_as_one(
    kind: str, runs: dict[str, Path], llama_path: Path, reward_path: Path, tmp_path: Path
) -> None:
    start = runs[kind] / "model"
    narrow = LoRAConfig(rank=2, alpha=6, targets=("q_proj", "up_proj"))
    work(*job(kind, tmp_path, config_of(kind, start, reward_path, 8, lora=narrow)))
    written = json.loads((tmp_path / "model/adapter_config.json").read_text())
    assert written["base_model_name_or_path"] == str(llama_path) and written["r"] == LORA.rank + narrow.rank
    if kind == "sft":
        ours, theirs = load_policy(str(tmp_path / "model"), CPU).model, AutoPeftModelForCausalLM
        first = metric_lines(tmp_path)[0]["loss"]
        assert first < metric_lines(runs[kind])[0]["loss"]  # it went on where the first run ended
        other = theirs.from_pretrained(tmp_path / "model")
    else:
        ours = reward_model.load_trained(str(tmp_path / "model"), CPU).network
        other = AutoPeftModelForSequenceClassification.from_pretrained(tmp_path / "model", num_labels=1)
    torch.testing.assert_close(logits(other), logits(ours), atol=1e-5, rtol=1e-5)


def test_two_adapters_side_by_side_do_what_both_do(llama_path: Path, runs: dict[str, Path], tmp_path: Path) -> None:
    """Exactly: merged start plus a new adapter gives the logits of the one that is saved."""
    policy = load_policy(str(runs["sft"] / "model"), CPU)
    lora.add(policy.model, LoRAConfig(rank=3, alpha=5, targets=("k_proj",)), seed=1)
    with torch.no_grad():
        for name, p in policy.model.named_parameters():
            p += 0.05 if ".lora_B." in name else 0.0
    lora.save(policy.model, policy.model.state_dict(), tmp_path / "both")
    both = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(llama_path), tmp_path / "both")
    torch.testing.assert_close(logits(both), logits(policy.model), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_run_ends_with_the_same_bytes(kind: str, runs: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(runs[kind], tmp_path / "again"))
    (folder / "result.json").unlink()
    shutil.rmtree(folder / "model")
    config = from_dict(kind, json.loads((folder / "config.json").read_text()))
    work(kind, folder, config)
    assert result(folder)["outputs"] == result(runs[kind])["outputs"]


def test_targets_and_rank_decide_what_is_trained(llama_path: Path) -> None:
    model = load_policy(str(llama_path), CPU).model
    lora.add(model, LoRAConfig(rank=3, alpha=3, targets=("q_proj", "layers.0.mlp.up_proj")), seed=0)
    found = {name: tuple(p.shape) for name, p in model.named_parameters() if p.requires_grad}
    assert {name.split(".lora_")[0].rsplit(".", 1)[-1] for name in found} == {"q_proj", "up_proj"} and len(found) == 6
    assert all(3 in shape for shape in found.values())


def test_what_cannot_be_used_is_refused(llama_path: Path, runs: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"lora.targets: expected some of the layers \[.*'q_proj'.*\], found 'query'"):
        lora.add(load_policy(str(llama_path), CPU).model, LoRAConfig(targets=("query",)), seed=0)
    with pytest.raises(ConfigError, match="lora.rank: expected at least 1, found 0"):
        from_dict("dpo", {"model": "m", "lora": {"rank": 0}})
    with pytest.raises(ConfigError, match=r"dpo.lora: unknown keys \['dropout'\]"):
        from_dict("dpo", {"model": "m", "lora": {"dropout": 0.1}})
    broken = Path(shutil.copytree(runs["sft"] / "model", tmp_path / "broken"))
    (broken / lora.WEIGHTS).write_bytes(b"nothing")
    with pytest.raises(AdapterError, match="broken: expected an adapter, found none that loads"):
        load_policy(str(broken), CPU)
    adapter = lora.Adapter("there", {"peft_type": "LORA", "r": 2, "lora_alpha": 2, "use_dora": True}, {})
    with pytest.raises(AdapterError, match="there: expected a plain LoRA adapter"):
        lora.beside(adapter, {"r": 2, "lora_alpha": 2}, {})


def test_without_lora_every_weight_is_trained(llama_path: Path, tmp_path: Path) -> None:
    config = config_of("sft", llama_path, llama_path, 4)
    work(*job("sft", tmp_path, replace(config, lora=None), checkpoint_every=3))  # type: ignore[type-var]
    names = newest_state(tmp_path)["models"]["model"]
    assert "model.embed_tokens.weight" in names and not any("lora" in name for name in names)


@pytest.mark.parametrize("kind", ["dpo", "ppo", "grpo"])
def test_the_estimate_of_memory_knows_that_an_adapter_is_small_and_the_reference_free(
    kind: str, llama_path: Path, reward_path: Path, runs: dict[str, Path], tmp_path: Path
) -> None:
    folder = folder_of(kind, tmp_path)
    configs = [config_of(kind, llama_path, reward_path, lora=one) for one in (None, LORA)]
    whole, small = (needs.require(folder, config)["bytes"] for config in configs)
    assert small["optimizer"] < whole["optimizer"] and small["gradients"] < whole["gradients"]
    held = [line["weights"] + line.get("copies", 0) for line in (small, whole)]
    assert held[0] < held[1]
    started = needs.require(folder, config_of(kind, runs["sft"] / "model", reward_path, lora=LORA))["bytes"]
    assert started["weights"] == small["weights"]  # a saved adapter is as large as the model below it
