"""Held-out evaluation during training: the weights of the best step are those that a run saves.

The best so far belong to the run's checkpoints, so that a run that is killed and started again chooses the same ones.
InstructGPT chose its SFT model among epochs (2203.02155, C.1, by reward-model score); ours chooses by what the stage
itself descends or counts on held-out rows, which needs no second model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from rlhf.learning.configs import InputError
from rlhf.learning.loop import NonFiniteLoss, Run

_SIGN = {"loss": -1.0, "accuracy": 1.0}  # times the number: more is better


class NothingHeldOut(InputError):
    """Evaluation was asked for, and there is no held-out row to evaluate on."""


class Selection:
    """The weights of the best step so far. With `every` 0 it does nothing, and costs nothing."""

    def __init__(
        self, model: nn.Module, every: int, by: str, num_held_out: int, measure: Callable[[], Mapping[str, float]]
    ) -> None:
        """Args:
        model: in training; its trainable weights are chosen among steps.
        every: steps from one evaluation to the next; the last step is evaluated too. 0: none.
        by: `loss` (the lowest is best) or `accuracy` (the highest); of equals the earliest.
        measure: what the model does on held-out rows now, `by` among the numbers.

        Raises:
            NothingHeldOut: `every` is above 0 and `num_held_out` is 0.
        """
        if every and not num_held_out:
            raise NothingHeldOut(
                f"evaluate_every: found {every} and no held-out row that says something, expected some to choose the "
                "best step by, or 0"
            )
        self._every, self._by, self._measure = every, by, measure
        self._weights = [p for p in model.parameters() if p.requires_grad] if every else []
        self._best = nn.ParameterList([nn.Parameter(w.detach().clone(), requires_grad=False) for w in self._weights])
        self._state: dict[str, Any] = {}

    @property
    def models(self) -> dict[str, nn.Module]:
        """What a checkpoint must hold besides the stage's own models."""
        return {"best": self._best} if self._every else {}

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on from the state that `after_step` gave to the checkpoint."""
        self._state = dict(state.get("best", {}))

    def after_step(self, run: Run) -> dict[str, Any]:
        """Evaluate if it is time; call between an optimiser step and its `end_step`, which takes the returned state.

        Raises:
            NonFiniteLoss: the number to choose by is none.
        """
        step = run.step + 1
        if self._every and (step % self._every == 0 or step == run.total_steps):
            numbers = self._measure()
            value = _SIGN[self._by] * numbers[self._by]
            if not math.isfinite(value):
                raise NonFiniteLoss(f"found a held-out {self._by} of {value} at step {step}, expected a finite one")
            if not self._state or value > self._state["value"]:
                self._state = {"value": value, "step": step}
                _copy(self._weights, self._best)
            found = {f"held_out_{name}": number for name, number in numbers.items()}
            # A line of the step under way: a run that is resumed before its end evaluates again.
            run.log("evaluate", {"step": step, **found, "best_step": self._state["step"]})
        return {"best": self._state} if self._state else {}

    def restore(self) -> dict[str, int]:
        """Give the model its best weights back. Returns {"best_step": step}, or nothing where nothing is chosen."""
        if not self._state:
            return {}
        _copy(self._best, self._weights)
        return {"best_step": self._state["step"]}


@torch.no_grad()
def _copy(source: Any, target: Any) -> None:
    for one, other in zip(source, target, strict=True):
        other.copy_(one)
