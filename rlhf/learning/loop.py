"""The one visible engine: devices, AdamW and its schedule, accumulation, metrics, checkpoints, stopping.

Every stage is a plain loop over these parts. Nothing here knows a loss. A run that is killed at any step and started
again ends with the same weights, to the bit, on the same processor, thread count and versions.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import transformers
from torch import Tensor, nn

from rlhf.learning import checkpoint, distributed, lora, reports
from rlhf.learning.configs import ConfigError, EngineConfig, InputError, OptimizerConfig
from rlhf.learning.schedule import schedule_factor
from rlhf.learning.work import Work

M = TypeVar("M")  # a micro-batch, of whatever kind the stage makes


class NonFiniteLoss(InputError):
    """A loss or a gradient is not a finite number; the message names the rows of the batch. Bad input: a second start
    would meet it again."""


def set_up(engine: EngineConfig) -> torch.device:
    """Seed, threads and matmul precision of this process. Returns the device that `engine.device` means here."""
    if engine.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("engine.device: found cuda, expected a machine with a CUDA device, or auto")
    reports.require(engine.report_to)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()  # standard error is for the one sentence that matters
    torch.manual_seed(engine.seed)
    torch.set_num_threads(engine.num_threads)
    torch.set_float32_matmul_precision(engine.matmul_precision)
    use_cuda = engine.device != "cpu" and torch.cuda.is_available()
    if use_cuda:  # CPU kernels are deterministic at a fixed thread count
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # or cuBLAS isn't; read when CUDA starts
        torch.use_deterministic_algorithms(True, warn_only=True)
    return distributed.start(torch.device("cuda" if use_cuda else "cpu"))


def autocast(engine: EngineConfig, device: torch.device) -> AbstractContextManager[Any]:
    """Forward passes in `engine.precision`; weights, losses and optimiser state stay float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=engine.precision == "bfloat16")


def epoch_order(num_rows: int, seed: int, epoch: int) -> list[int]:
    """The order of the rows in one epoch: a permutation that depends on (num_rows, seed, epoch) alone."""
    order: list[int] = np.random.default_rng([seed, epoch]).permutation(num_rows).tolist()
    return order


class Learner:
    """A model with its AdamW, schedule and clipping: what one optimiser step needs besides gradients."""

    def __init__(
        self, model: nn.Module, config: OptimizerConfig, total_steps: int, learning_rate: float | None = None
    ) -> None:
        """total_steps: optimiser steps of the whole run; the schedule ends there. learning_rate: peak, where it is not
        the configuration's (PPO's value model)."""
        self.model = model
        self.config = config
        self.total_steps = total_steps
        self.peak = config.learning_rate if learning_rate is None else learning_rate
        self.step = 0
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        decayed = [p for p in self.parameters if p.dim() >= 2]
        others = [p for p in self.parameters if p.dim() < 2]  # gains and biases aren't pulled to zero
        self.optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}],
            lr=self.peak,
            betas=(config.beta1, config.beta2),
            eps=config.eps,
            fused=True,
        )

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step."""
        return self.peak * schedule_factor(self.step, self.total_steps, self.config)

    def apply(self, row_ids: Sequence[int] = ()) -> float:
        """Clip the gradients, step, and forget them. Returns the gradient norm before clipping.

        Args:
            row_ids: the rows that the gradients are of, for the message when they aren't finite.

        Raises:
            NonFiniteLoss: the norm is not finite; no weight was changed.
        """
        distributed.sum_gradients(self.parameters)
        norm = distributed.clip(self.parameters, self.config.max_grad_norm)
        if not math.isfinite(norm):
            raise NonFiniteLoss(
                f"found a gradient norm of {norm} at optimiser step {self.step}, expected a finite one; "
                f"rows of this step: {list(row_ids)}"
            )
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        return norm


def accumulate(
    micro_batches: Iterable[M],
    loss_sum: Callable[[M], Tensor],
    count: float,
    row_ids: Callable[[M], Sequence[int]],
    sums: dict[str, float] | None = None,
) -> float:
    """Gradients of (sum of all losses) / count, a micro-batch at a time.

    `count` is that of the whole batch (tokens, rankings), so that any partition into micro-batches gives the same
    gradient; a mean per micro-batch would weigh short ones more. Of several processes each takes its share of the
    micro-batches; loss and sums are those of all.

    Args:
        loss_sum: the summed (not averaged) loss of a micro-batch, a scalar.
        row_ids: the rows of a micro-batch, for the message when its loss is not finite.
        sums: numbers that `loss_sum` adds to, beside the loss.

    Returns:
        The batch's loss: sum / count.

    Raises:
        NonFiniteLoss: names the rows; gradients are left as they are, no step was taken.
    """
    sums = {} if sums is None else sums
    before, total, several = dict(sums), 0.0, distributed.size() > 1
    shared = distributed.share(list(micro_batches)) if several else ((one, True) for one in micro_batches)
    for micro_batch, counts in shared:
        held = dict(sums)
        loss = loss_sum(micro_batch) / count
        value = float(loss.detach())
        require_finite(value, row_ids(micro_batch))
        (loss if counts else 0 * loss).backward()
        total += value if counts else 0.0
        if not counts:
            sums.update({name: held.get(name, 0.0) for name in sums})
    added = {name: value - before.get(name, 0.0) for name, value in sums.items()} if several else {}
    added = distributed.sum_over_processes(added | {"": total})
    total = added.pop("")
    sums.update({name: before.get(name, 0.0) + value for name, value in added.items()})
    return total


def require_finite(loss: float, row_ids: Sequence[int]) -> None:
    """Raise NonFiniteLoss naming the rows that were in the batch."""
    if not math.isfinite(loss):
        raise NonFiniteLoss(f"found a loss of {loss}, expected a finite one; rows of this batch: {list(row_ids)}")


class Run(Work):
    """Work with models: what it saves, and how it goes on from there."""

    def __init__(self, folder: Path, kind: str, engine: EngineConfig, total_steps: int) -> None:
        """total_steps: what `step` counts up to (optimiser steps; PPO: iterations; sampling: batches)."""
        super().__init__(folder, kind, total_steps, engine.report_to, writes=distributed.is_main())
        self.engine = engine
        self.before_checkpoint: Callable[[], None] = lambda: None  # also called at the last step
        self._models: dict[str, nn.Module] = {}
        self._learners: dict[str, Learner] = {}
        device = distributed.device_name(engine.device)
        self._environment = checkpoint.environment_of(torch.get_num_threads(), device, distributed.size())
        self.write_json(checkpoint.MACHINE, self._environment)

    def resume(self, models: Mapping[str, nn.Module], learners: Mapping[str, Learner]) -> dict[str, Any]:
        """Name what a checkpoint holds, and load the newest valid one.

        A model that a Learner holds must be among `models` too. Sets `step`; returns the state given to the
        `end_step` of that step, or {} at a fresh start. metrics.jsonl is cut at that step.
        """
        self._models, self._learners = dict(models), dict(learners)
        found = checkpoint.newest_valid(self.folder)
        self.begin(found.step if found else 0)
        if found is None:
            return {}
        saved = torch.load(found.path / "state.pt", map_location="cpu", weights_only=True)
        for name, model in self._models.items():
            distributed.load_model_state(model, saved["models"][name])
        for name, learner in self._learners.items():
            distributed.load_optimizer_state(learner.optimizer, saved["optimizers"][name])
            learner.step = saved["optimizer_steps"][name]
        torch.set_rng_state(saved["random"])
        self.step = found.step
        changed = checkpoint.differences(found.environment, self._environment)
        if changed:
            self.log("warning", {"warning": f"resumed, but not exactly: {'; '.join(changed)}"})
        state: dict[str, Any] = json.loads((found.path / "state.json").read_text())
        return state

    def end_step(self, phase: str, numbers: Mapping[str, Any], state: Mapping[str, Any]) -> None:
        """Count a step as done: log it when a line is due, save when a checkpoint is due, stop if asked to.

        Args:
            state: JSON values that `resume` must give back to go on after this step (cursor, coefficients).

        Raises:
            Stopped: SIGTERM came; the checkpoint of this step is on disk.
        """
        self.step += 1
        self.stop_requested, last = distributed.any_process(self.stop_requested), self.step == self.total_steps
        if last or self.step % self.engine.log_every == 0:
            self.log(phase, numbers)
        due = bool(self.engine.checkpoint_every) and self.step % self.engine.checkpoint_every == 0
        if due or last:
            self.before_checkpoint()
        if (due and not last) or self.stop_requested:
            self.save(state)
        self.stop_if_asked()

    def save(self, state: Mapping[str, Any]) -> None:
        """Write a checkpoint of the current step."""
        everything = {
            "models": {
                name: distributed.model_state(model, lora.trained_names(model)) for name, model in self._models.items()
            },
            "optimizers": {
                name: distributed.optimizer_state(learner.optimizer) for name, learner in self._learners.items()
            },
            "optimizer_steps": {name: learner.step for name, learner in self._learners.items()},
            "random": torch.get_rng_state(),
        }

        def write_files(path: Path) -> None:
            torch.save(everything, path / "state.pt")
            (path / "state.json").write_text(json.dumps(state))

        if distributed.is_main():
            checkpoint.write(self.folder, self.step, write_files, self._environment)
