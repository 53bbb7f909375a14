"""Several processes that work as one, started by torchrun: who does what, and sums over all of them.

Every process reads the same rows and makes the same micro-batches; each takes its share of them, and gradients are
sums, never means, so 1, 2 and 4 processes take the same steps up to rounding. Weights are on every process
(`replicate`: gradients are summed once a step), or in pieces (`shard`: FSDP2, which sums while it goes back).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel

T = TypeVar("T")
_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)


def start(device: torch.device) -> torch.device:
    """Join the other processes of a torchrun, if there are any. Returns this process's own device."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return device
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return device


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def size() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main() -> bool:
    """Whether this process writes files."""
    return rank() == 0


def shard(model: PreTrainedModel) -> None:
    """Cut the weights of a model into pieces, one for each process: FSDP2 of every decoder layer, and of the rest.

    A model whose trunk is asked without its head (reward and value models) is cut there; its head stays whole.
    """
    mesh = init_device_mesh(next(model.parameters()).device.type, (size(),))
    whole = model if model.get_output_embeddings() is not None else model.base_model
    layers = max((m for m in model.base_model.children() if isinstance(m, nn.ModuleList)), key=len)
    for module in (*layers, whole):
        sharded = fully_shard(module, mesh=mesh)
        sharded.set_gradient_divide_factor(1.0)  # a sum: losses are divided by counts of the whole step
        sharded.set_force_sum_reduction_for_comms(True)  # gloo has no scaled sum


def is_sharded(model: nn.Module) -> bool:
    return any(isinstance(module, FSDPModule) for module in model.modules())


@contextmanager
def whole(model: nn.Module) -> Iterator[None]:
    """All weights on every process, for work in which processes don't keep step with each other (sampling)."""
    parts = [module for module in model.modules() if isinstance(module, FSDPModule)]
    for part in parts:
        part.set_reshard_after_forward(False)
        part.unshard()
    try:
        yield
    finally:
        for part in parts:
            part.reshard()
            part.set_reshard_after_forward(True)


def share(items: Sequence[T]) -> list[tuple[T, bool]]:
    """This process's items, every `size()`-th, and whether they count.

    All processes get as many, since sharded weights are fetched by all at once; where the items don't suffice, one that
    another process has is given again, and doesn't count.
    """
    if size() == 1:
        return [(item, True) for item in items]
    turns = range(rank(), -(-len(items) // size()) * size(), size())
    return [(items[turn % len(items)], turn < len(items)) for turn in turns]


def sum_over_processes(numbers: Mapping[str, float]) -> dict[str, float]:
    """Each number's sum over all processes, which must have the same names."""
    if size() == 1:
        return dict(numbers)
    names = sorted(numbers)
    total = torch.tensor([numbers[name] for name in names], dtype=torch.float64)
    if dist.get_backend() == "nccl":
        total = total.cuda()
    dist.all_reduce(total)
    return dict(zip(names, total.tolist(), strict=True))


def sum_tensors(*tensors: Tensor) -> None:
    """Replace each tensor by its sum over all processes."""
    if size() > 1:
        for tensor in tensors:
            dist.all_reduce(tensor)


def gather(items: list[T]) -> list[list[T]]:
    """Every process's list, in their order, on all of them."""
    if size() == 1:
        return [items]
    found: list[Any] = [None] * size()
    dist.all_gather_object(found, items)
    return found


def sum_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Sum the gradients of weights that every process has; those of sharded ones are sums already."""
    if size() == 1:
        return
    held = [p for p in parameters if not isinstance(p, DTensor)]
    for parameter in held:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    if held:
        flat = torch.cat([p.grad.flatten() for p in held if p.grad is not None])
        dist.all_reduce(flat)
        for parameter, part in zip(held, flat.split([p.numel() for p in held]), strict=True):
            parameter.grad = part.view_as(parameter)


def clip(parameters: Sequence[nn.Parameter], max_norm: float) -> float:
    """Clip the gradients of replicated and sharded weights together. Returns their norm before."""
    squares = [_square_sum(p.grad) for p in parameters if p.grad is not None]
    norm = float(torch.stack(squares).sum().sqrt())
    if norm > max_norm:
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad.mul_(max_norm / (norm + 1e-6))
    return norm


def _square_sum(gradient: Tensor) -> Tensor:
    found = gradient.square().sum()
    return found.full_tensor() if isinstance(found, DTensor) else found


def model_state(model: nn.Module) -> dict[str, Any]:
    """The whole state of a model, sharded or not; all processes call it."""
    return get_model_state_dict(model, options=_WHOLE) if is_sharded(model) else model.state_dict()


def load_model_state(model: nn.Module, state: dict[str, Any]) -> None:
    if is_sharded(model):
        set_model_state_dict(model, state, options=_WHOLE)
    else:
        model.load_state_dict(state)


def optimizer_state(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """As `model_state`; by the names of weights where they are sharded."""
    if is_sharded(model):
        found: dict[str, Any] = get_optimizer_state_dict(model, optimizer, options=_WHOLE)
        return found
    return optimizer.state_dict()


def load_optimizer_state(model: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    if is_sharded(model):
        set_optimizer_state_dict(model, optimizer, state, options=_WHOLE)
    else:
        optimizer.load_state_dict(state)


def any_process(asked: bool) -> bool:
    """Whether any process was asked; all of them then know it at the same step."""
    return sum_over_processes({"asked": float(asked)})["asked"] > 0


def wait_for_all() -> None:
    if size() > 1:
        dist.barrier()
