"""Failures put into a PPO run from outside, each at a stated dose, and an eye on its policy between iterations.

The learning core prevents most of them by construction, so they go in underneath: by replacing, for the time of a
`with`, what rlhf/learning/ppo.py calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from rlhf.learning import actors, ppo, rewards
from rlhf.learning.policy import Policy

DROPOUT = 0.1  # share of the embedding's numbers that are dropped
SAMPLER_TEMPERATURE = 0.7  # while the trainer takes 1
SCORE_PER_TOKEN = 0.2  # standard deviations of the reward model's scores
TRUNCATED_SHARE = 0.5  # of prompts that lose tokens, at least


@contextmanager
def dropout() -> Iterator[None]:
    """The policy forgets DROPOUT of its embeddings, in rollouts and updates alike."""

    def drop(_: nn.Module, __: Any, hidden: Tensor) -> Tensor:
        return nn.functional.dropout(hidden, DROPOUT)

    def load(original: Callable[..., actors.Networks]) -> Callable[..., actors.Networks]:
        def loaded(*arguments: Any) -> actors.Networks:
            networks = original(*arguments)
            networks.policy.model.get_input_embeddings().register_forward_hook(drop)
            return networks

        return loaded

    with _replaced(actors, "load", load):
        yield


@contextmanager
def sampler_temperature() -> Iterator[None]:
    """Rollouts are drawn at SAMPLER_TEMPERATURE times the temperature that log-probabilities are taken at."""

    def roll_out(original: Callable[..., Any]) -> Callable[..., Any]:
        def colder(policy: Policy, prompts: Any, drawn: Any, temperature: float, *others: Any) -> Any:
            return original(policy, prompts, drawn, SAMPLER_TEMPERATURE * temperature, *others)

        return colder

    with _replaced(ppo, "roll_out", roll_out):
        yield


@contextmanager
def length_bias() -> Iterator[None]:
    """Every token of an answer adds SCORE_PER_TOKEN to its score."""

    def score(original: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def longer(known: Any, batch: Any, partition: Any) -> Tensor:
            return original(known, batch, partition) + SCORE_PER_TOKEN * batch.completion_mask.sum(1)

        return longer

    with _replaced(rewards, "score", score):
        yield


@contextmanager
def watched(look: Callable[[int, Policy], None]) -> Iterator[None]:
    """`look(iteration, policy)` before each iteration's rollouts; 0 is the policy that the run starts from."""
    iteration = 0

    def roll_out(original: Callable[..., Any]) -> Callable[..., Any]:
        def seen(policy: Policy, *others: Any) -> Any:
            nonlocal iteration
            state = torch.get_rng_state()
            look(iteration, policy)
            torch.set_rng_state(state)
            iteration += 1
            return original(policy, *others)

        return seen

    with _replaced(ppo, "roll_out", roll_out):
        yield


@contextmanager
def _replaced(module: Any, name: str, make: Callable[[Any], Any]) -> Iterator[None]:
    original = getattr(module, name)
    setattr(module, name, make(original))
    try:
        yield
    finally:
        setattr(module, name, original)
