"""Several processes that work as one, started by torchrun: who does what, and sums over all of them.

Every process reads the same rows and makes the same micro-batches; each takes its share of them, and gradients are
sums, never means, so 1, 2 and 4 processes take the same steps up to rounding. Weights are on every process
(`replicate`: gradients are summed once a step), or in pieces (`shard`: FSDP2, which sums while it goes back).
Alone, every function here does nothing, and says so.
"""

from __future__ import annotations

import atexit
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor

T = TypeVar("T")
_BUCKET_BYTES = 1 << 26  # of gradients that are summed at once: a copy of them all would cost the model's size again
_INSIDE = "hone_inside"


def start(device: torch.device) -> torch.device:
    """Join the other processes of a torchrun, if there are any. Returns this process's own device."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return device
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        atexit.register(_leave)
    return device


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def size() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def device_name(asked: str) -> str:
    """What numbers are computed on, for who wants the same again: a GPU's name once it is in use."""
    if asked == "cpu" or not torch.cuda.is_available():
        return "cpu"
    return torch.cuda.get_device_name() if torch.cuda.is_initialized() else "cuda"


def is_main() -> bool:
    """Whether this process writes files."""
    return rank() == 0


def shard(model: nn.Module, layers: Sequence[nn.Module]) -> None:
    """Cut the weights of a model into pieces, one for each process: FSDP2 of every layer, and of the rest."""
    mesh = init_device_mesh(next(model.parameters()).device.type, (size(),))
    for module in (*layers, model):
        sharded = fully_shard(module, mesh=mesh)
        sharded.set_gradient_divide_factor(1.0)  # a sum: losses are divided by counts of the whole step
        sharded.set_force_sum_reduction_for_comms(True)  # gloo has no scaled sum
    setattr(model, _INSIDE, _call)
    register_fsdp_forward_method(model, _INSIDE)


def _call(function: Callable[[], T]) -> T:
    return function()


def inside(model: nn.Module, function: Callable[[], T]) -> T:
    """`function()`, during which parts of a sharded model can be called one by one, as in its own forward.

    What it returns must be tensors, or tuples of them.
    """
    if not isinstance(model, FSDPModule):
        return function()
    found: T = getattr(model, _INSIDE)(function)
    return found


def is_sharded(model: nn.Module) -> bool:
    return isinstance(model, FSDPModule)


@contextmanager
def whole(model: nn.Module) -> Iterator[None]:
    """All weights on every process, for work in which processes don't keep step with each other (sampling)."""
    parts = [module for module in model.modules() if isinstance(module, FSDPModule)]
    for part in parts:
        part.set_reshard_after_forward(False, recurse=False)
        part.unshard()
    try:
        yield
    finally:
        for part in parts:
            part.reshard()
            part.set_reshard_after_forward(part is not model, recurse=False)


def micro_batch_size(asked: int, num_rows: int) -> int:
    """Rows per forward: as many as were asked for, or fewer, so that every process has some of `num_rows`."""
    return max(1, min(asked, -(-num_rows // size())))


def share(items: Sequence[T]) -> list[tuple[T, bool]]:
    """This process's items, every `size()`-th, and whether they count.

    All processes get as many, since sharded weights are fetched by all at once; where the items don't suffice, one that
    another process has is given again, and doesn't count.
    """
    if not items:
        return []
    turns = range(rank(), -(-len(items) // size()) * size(), size())
    return [(items[turn % len(items)], turn < len(items)) for turn in turns]


def sum_over_processes(numbers: Mapping[str, float]) -> dict[str, float]:
    """Each number's sum over all processes, which must have the same names."""
    if size() == 1:
        return dict(numbers)
    names = sorted(numbers)
    total = torch.tensor([numbers[name] for name in names], dtype=torch.float64, device=_device())
    dist.all_reduce(total)
    return dict(zip(names, total.tolist(), strict=True))


def merge(mine: Sequence[Sequence[int]], *tensors: Tensor) -> None:
    """Fill every tensor with the rows that other processes wrote: `mine` are those that this one did, in groups."""
    if size() == 1:
        return
    rows = [row for group in mine for row in group]
    for tensor in tensors:
        kept = torch.zeros_like(tensor)
        kept[rows] = tensor[rows]
        moved = kept.to(_device())
        dist.all_reduce(moved)
        tensor.copy_(moved)


def gather(items: list[T]) -> list[list[T]]:
    """Every process's list, in their order, on all of them."""
    if size() == 1:
        return [items]
    found: list[Any] = [None] * size()
    dist.all_gather_object(found, items)
    return found


def from_main(make: Callable[[], T]) -> T:
    """What the main process makes, on all of them: for what costs money, or comes out different each time."""
    if size() == 1:
        return make()
    made: list[Any] = [make() if is_main() else None]
    dist.broadcast_object_list(made)
    found: T = made[0]
    return found


def sum_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Sum the gradients of weights that every process has; those of sharded ones are sums already."""
    if size() == 1:
        return
    bucket: list[nn.Parameter] = []
    for parameter in [p for p in parameters if not isinstance(p, DTensor)]:
        bucket.append(parameter)
        if sum(p.numel() * p.element_size() for p in bucket) >= _BUCKET_BYTES:
            _sum_bucket(bucket)
            bucket = []
    _sum_bucket(bucket)


def _sum_bucket(bucket: Sequence[nn.Parameter]) -> None:
    if not bucket:
        return
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in bucket]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    for parameter, part in zip(bucket, flat.split([p.numel() for p in bucket]), strict=True):
        parameter.grad = part.view_as(parameter)


@torch.no_grad()
def clip(parameters: Sequence[nn.Parameter], max_norm: float) -> float:
    """Scale the gradients to a norm of at most `max_norm`. Returns the norm before."""
    if not any(isinstance(parameter, DTensor) for parameter in parameters):
        return float(nn.utils.clip_grad_norm_(parameters, max_norm))
    pieces = [p.grad.to_local() for p in parameters if isinstance(p.grad, DTensor)]
    squares = sum((float(piece.double().square().sum()) for piece in pieces), 0.0)
    norm = math.sqrt(sum_over_processes({"squares": squares})["squares"])
    if norm > max_norm:
        for piece in pieces:
            piece.mul_(max_norm / (norm + 1e-6))
    return norm


def model_state(model: nn.Module, names: Callable[[str], bool] = lambda _: True) -> dict[str, Tensor]:
    """The state of a model whose names are wanted, whole on the main process; all processes call it."""
    seen: dict[int, Tensor] = {}  # tied weights are one tensor under two names, and stay one
    of_name = {name: id(parameter) for name, parameter in model.named_parameters(remove_duplicate=False)}
    found = {}
    for name, tensor in model.state_dict().items():
        if names(name):
            key = of_name.get(name, id(tensor))
            if key not in seen:
                seen[key] = _gathered(tensor)
            found[name] = seen[key]
    return found


@torch.no_grad()
def load_model_state(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Set the weights that `state` holds, whole ones, of a model that is sharded or not.

    Raises:
        KeyError: a name that the model doesn't have.
    """
    own = model.state_dict()
    for name, tensor in state.items():
        own[name].copy_(_cut(tensor, own[name]))


def optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The state of an optimiser, whole on the main process; all processes call it."""
    found = optimizer.state_dict()
    found["state"] = {
        index: {name: _gathered(value) if isinstance(value, Tensor) else value for name, value in of_one.items()}
        for index, of_one in found["state"].items()
    }
    return found


def load_optimizer_state(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Set what `optimizer_state` gave, whichever way the weights are laid out now."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    cut = {
        index: {
            name: _cut(value, parameters[index]) if isinstance(value, Tensor) and value.dim() else value
            for name, value in of_one.items()
        }
        for index, of_one in state["state"].items()
    }
    optimizer.load_state_dict(state | {"state": cut})


def _gathered(tensor: Tensor) -> Tensor:
    if not isinstance(tensor, DTensor):
        return tensor
    found = tensor.full_tensor()
    return found.cpu() if is_main() else found.new_zeros(0)


def _cut(tensor: Tensor, like: Tensor) -> Tensor:
    """A whole tensor laid out as another one is; every process has read it, nothing is sent."""
    if not isinstance(like, DTensor):
        return tensor
    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


def any_process(asked: bool) -> bool:
    """Whether any process was asked; all of them then know it at the same step."""
    return sum_over_processes({"asked": float(asked)})["asked"] > 0


def wait_for_all() -> None:
    """Return when every process has come here."""
    if size() > 1:
        dist.barrier()


def _device() -> torch.device:
    """Where what is sent must lie."""
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")
