"""LoRA by peft: adapters inside a model that stays what it was, so that every stage runs on it unchanged.

With the adapter off the model is the one that training started from: the reference of DPO, PPO and GRPO needs no memory
of its own. Saved versions hold the adapter alone, in peft's format, and name the model that they belong to. Loading
merges the adapter into the weights; a run that trains a new one on top saves both, side by side, as one adapter of
that model (their ranks add up).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model_state_dict, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import ModulesToSaveWrapper
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from rlhf.learning.configs import ConfigError, InputError, LoRAConfig

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."
_START = "hone_start_adapter"


class AdapterError(InputError):
    """A saved adapter that can't be used; the message names its folder, what was found and expected."""


@dataclass(frozen=True)
class Adapter:
    """A saved adapter, as it was merged into a model."""

    folder: str
    config: dict[str, Any]
    state: dict[str, Tensor]


def base_of(name_or_path: str) -> str:
    """The model that a saved adapter belongs to; the name itself where there is no adapter."""
    return _configured(name_or_path, "base_model_name_or_path") or name_or_path


def is_of_classifier(name_or_path: str) -> bool:
    """Whether a saved adapter belongs to a reward model; False where there is no adapter."""
    return _configured(name_or_path, "task_type") == "SEQ_CLS"


def _configured(name_or_path: str, field: str) -> str | None:
    """A field of a saved adapter's configuration; None where there is no adapter."""
    path = Path(name_or_path) / CONFIG
    if not path.is_file():
        return None
    try:
        return str(json.loads(path.read_text())[field])
    except (OSError, json.JSONDecodeError, KeyError) as error:
        raise AdapterError(f"{path}: expected an adapter's configuration, found {error!r}") from error


def add(model: PreTrainedModel, config: LoRAConfig, seed: int, head: str | None = None) -> None:
    """Freeze the model and put adapters into it, which change nothing yet: A is drawn by `seed`, B is 0.

    head: a layer that is trained whole beside them, a copy: off, the model has its old one.

    Raises:
        ConfigError: a target that names no layer of the model.
    """
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear | Conv1D)]
    for target in config.targets:
        if not any(name == target or name.endswith(f".{target}") for name in linear):
            names = sorted({name.rsplit(".", 1)[-1] for name in linear})
            raise ConfigError(f"lora.targets: expected some of the layers {names}, found {target!r}")
    model.requires_grad_(False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        peft_config = LoraConfig(
            r=config.rank,
            lora_alpha=config.alpha,
            target_modules=list(config.targets) or "all-linear",
            modules_to_save=[head] if head else None,
            task_type="SEQ_CLS" if head else "CAUSAL_LM",
            fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),
            base_model_name_or_path=model.name_or_path,
        )
        inject_adapter_in_model(peft_config, model)
    model.eval()


def is_adapted(model: nn.Module) -> bool:
    return any(isinstance(module, BaseTunerLayer) for module in model.modules())


def trained_names(model: nn.Module) -> Callable[[str], bool]:
    """Which names of the model's state a checkpoint needs: the adapter's where there is one, else all."""
    if not is_adapted(model):
        return lambda _: True
    return lambda name: ".lora_" in name or ".modules_to_save." in name


@contextmanager
def start_of(reference: nn.Module, policy: nn.Module) -> Iterator[None]:
    """Inside, the reference is what training started from: where it is the policy itself, the adapter is off.

    Only for forwards without gradient.
    """
    off = [m for m in policy.modules() if isinstance(m, BaseTunerLayer | ModulesToSaveWrapper)]
    for module in off if reference is policy else []:
        # Not enable_adapters: that also changes what needs a gradient, of a graph that may be waiting for its own.
        module._disable_adapters = True
    try:
        yield
    finally:
        for module in off if reference is policy else []:
            module._disable_adapters = False


def merge_in(model: PreTrainedModel, folder: str) -> PreTrainedModel:
    """The model with a saved adapter in its weights, which it remembers. A folder without one changes nothing.

    Raises:
        AdapterError: it doesn't load, or doesn't fit the model.
    """
    if not (Path(folder) / CONFIG).is_file():
        return model
    try:
        config = json.loads((Path(folder) / CONFIG).read_text())
        state = load_file(Path(folder) / WEIGHTS)
        merged: PreTrainedModel = PeftModel.from_pretrained(model, folder).merge_and_unload()
    except Exception as error:  # as for models: a broken adapter breaks anywhere
        first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise AdapterError(f"{folder}: expected an adapter, found none that loads ({first[:200]})") from error
    merged.requires_grad_(True)
    setattr(merged, _START, Adapter(folder, config, state))
    return merged


def brings(model: nn.Module, layer: str) -> bool:
    """Whether the adapter that was merged into the model had a whole layer of this name."""
    start: Adapter | None = getattr(model, _START, None)
    return start is not None and f"{_PREFIX}{layer}.weight" in start.state


def save(model: PreTrainedModel, state: Mapping[str, Tensor], folder: Path) -> None:
    """Write the adapter and its configuration. state: of the model, all of `trained_names`.

    Raises:
        AdapterError: the run started from an adapter that ours can't stand beside (not plain LoRA).
    """
    peft_config: LoraConfig = model.peft_config["default"]  # type: ignore[assignment]
    found = get_peft_model_state_dict(
        model,
        state_dict=dict(state),
        save_embedding_layers=False,  # of a base without a pad token they are a row longer, and nothing reads it
    )
    tensors = {f"{_PREFIX}{name}": tensor.detach().cpu().contiguous() for name, tensor in found.items()}
    config: dict[str, Any] = peft_config.to_dict()  # type: ignore[no-untyped-call]
    config["inference_mode"] = True
    start: Adapter | None = getattr(model, _START, None)
    if start is not None:
        config, tensors = beside(start, config, tensors)
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(config, indent=2, sort_keys=True, default=lambda value: sorted(value))
    (folder / CONFIG).write_text(text)
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    if peft_config.modules_to_save:  # gain and bias stand there; a policy's would make transformers look for weights
        model.config.save_pretrained(folder)


def beside(
    start: Adapter, config: dict[str, Any], tensors: Mapping[str, Tensor]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """One adapter that does what two do one after the other: A = [A_new; A_start], B = [s_new B_new, s_start B_start].

    A layer that only one of them has gets zeros for the other.
    """
    plain = start.config.get("peft_type") == "LORA" and not any(
        start.config.get(name) for name in ("use_dora", "use_rslora", "rank_pattern", "alpha_pattern")
    )
    if not plain:
        raise AdapterError(f"{start.folder}: expected a plain LoRA adapter to train another on, found a different one")
    both, adapters = dict(tensors), ((config, tensors), (start.config, start.state))
    layers = {name.removesuffix(".lora_A.weight") for _, state in adapters for name in state if ".lora_A." in name}
    for layer in sorted(layers):
        name_a, name_b = f"{layer}.lora_A.weight", f"{layer}.lora_B.weight"
        like_a, like_b = next((state[name_a], state[name_b]) for _, state in adapters if name_a in state)
        parts_a, parts_b = [], []
        for of_one, state in adapters:
            rank = int(of_one["r"])
            empty = like_a.new_zeros(rank, like_a.shape[1]), like_b.new_zeros(like_b.shape[0], rank)
            part_a, part_b = (state[name_a], state[name_b]) if name_a in state else empty
            parts_a.append(part_a)
            parts_b.append(part_b * (of_one["lora_alpha"] / rank))
        both[name_a], both[name_b] = torch.cat(parts_a).contiguous(), torch.cat(parts_b, 1).contiguous()
    rank = int(config["r"]) + int(start.config["r"])
    targets = sorted({layer.removeprefix(_PREFIX) for layer in layers})
    return config | {"r": rank, "lora_alpha": rank, "target_modules": targets}, both
