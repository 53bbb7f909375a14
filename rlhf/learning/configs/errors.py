"""What goes wrong with what a run was given, and how a configuration says so."""

from __future__ import annotations


class InputError(ValueError):
    """What a run was given can't be used: one sentence on standard error, exit code 2."""


class ConfigError(InputError):
    """A configuration that can't be run; the message names the field, what was found and what was expected."""


def require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)


def check_chunks(completions_per_forward: int | None, parallel: str) -> None:
    require(
        completions_per_forward is None or completions_per_forward >= 1,
        f"completions_per_forward: expected at least 1, found {completions_per_forward}",
    )
    require(
        completions_per_forward is None or parallel != "shard",
        f"completions_per_forward: expected none where engine.parallel is shard (all processes must forward as often; "
        f"engine.activation_checkpointing saves memory there), found {completions_per_forward}",
    )


def require_local(backend: str) -> None:
    require(
        backend == "local",
        f"backend: expected local for rollouts, found {backend}: they need the token ids that were drawn and the new "
        "weights in the server after every update, and an OpenAI-compatible interface gives neither",
    )


def check_evaluation(evaluate_every: int) -> None:
    require(evaluate_every >= 0, f"evaluate_every: expected 0 or more, found {evaluate_every}")


def check_batches(model: str, num_epochs: int, batch_size: int, micro_batch_size: int) -> None:
    require(bool(model), "model: expected a name or a path, found nothing")
    require(num_epochs >= 1, f"num_epochs: expected at least 1, found {num_epochs}")
    require(batch_size >= 1, f"batch size: expected at least 1, found {batch_size}")
    require(
        micro_batch_size >= 1 and (micro_batch_size >= batch_size or batch_size % micro_batch_size == 0),
        f"micro_batch_size: expected a divisor of {batch_size}, found {micro_batch_size}",
    )
