"""Supervised fine-tuning: the mean negative log-likelihood of completion tokens, and pre-training on all tokens.

Departs from InstructGPT (2203.02155, C.1) in one thing: dropout is off, as in every other stage.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from rlhf.learning import distributed, lora, needs, samples, tables
from rlhf.learning.configs import InputError, SFTConfig
from rlhf.learning.corpus import Corpus, read_corpus
from rlhf.learning.forward import token_log_probabilities
from rlhf.learning.loop import Learner, Run, accumulate, autocast, epoch_order, set_up
from rlhf.learning.policy import Policy, load_policy, require_room, save_policy
from rlhf.learning.preparation import prepare
from rlhf.learning.reading import DEMONSTRATION, read_split, reader
from rlhf.learning.selection import Selection
from rlhf.learning.text import Batch, Encoded, over_all_tokens, right_pad


def num_steps(num_rows: int, batch_size: int, num_epochs: int) -> int:
    """Optimiser steps of a training run; the last batch of an epoch may be smaller."""
    return -(-num_rows // batch_size) * num_epochs


def epoch_batches(
    lengths: Sequence[int], batch_size: int, seed: int, epoch: int, together: Sequence[Sequence[int]] | None = None
) -> list[list[int]]:
    """The batches of one epoch, as row indices: a function of its arguments alone.

    Rows are shuffled and cut into batches; every row comes once. Longest first within a batch, so that micro-batches
    hold rows of like length; whole batches of like length would teach less, and without padding they save nothing.

    together: rows of one length that stay side by side (but where a batch ends), every row once; None: each is alone.
    """
    groups = [[row] for row in range(len(lengths))] if together is None else together
    order = [row for place in epoch_order(len(groups), seed, epoch) for row in groups[place]]
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    return [sorted(batch, key=lambda row: -lengths[row]) for batch in batches]


def negative_log_likelihood(policy: Policy, batch: Batch) -> Tensor:
    """Sum over completion tokens of -log pi(token | everything before it): a scalar, nats."""
    found, _ = token_log_probabilities(policy.model, batch)  # (N,)
    return -found.sum()


def fit(
    run: Run,
    learner: Learner,
    policy: Policy,
    sequences: Sequence[Encoded],
    *,
    num_epochs: int,
    batch_size: int,
    micro_batch_size: int,
    selection: Selection | None = None,
    corpus: Corpus | None = None,
) -> None:
    """Train the policy on the sequences from where the run stands to its end; call `run.resume` first.

    Each optimiser step descends sum(NLL of the batch's completion tokens) / (their number), whatever the partition
    into micro-batches, over the batch and the corpus's texts beside it. The run's steps must be
    `num_steps(len(sequences), batch_size, num_epochs)`.
    """
    lengths = [s.length for s in sequences]
    device, seed = policy.model.device, run.engine.seed

    def loss_sum(batch: Batch) -> Tensor:
        with autocast(run.engine, device):
            return negative_log_likelihood(policy, batch)

    per_epoch = num_steps(len(sequences), batch_size, 1)
    for epoch in range(run.step // per_epoch, num_epochs):
        batches = epoch_batches(lengths, batch_size, seed, epoch)
        for rows in batches[run.step - epoch * per_epoch :]:
            started = time.monotonic()
            chosen = [sequences[i] for i in rows] + ([] if corpus is None else corpus.of_step(run.step, seed))
            size = distributed.micro_batch_size(micro_batch_size, len(chosen))
            parts = [chosen[i : i + size] for i in range(0, len(chosen), size)]
            micro_batches = (right_pad(part, policy.pad_id, device) for part in parts)
            num_tokens = sum(len(sequence.completion_ids) for sequence in chosen)
            learning_rate = learner.learning_rate
            loss = accumulate(micro_batches, loss_sum, num_tokens, lambda batch: batch.row_ids)
            gradient_norm = learner.apply([sequence.row_id for sequence in chosen])
            seconds = time.monotonic() - started
            numbers = {
                "loss": loss,
                "learning_rate": learning_rate,
                "gradient_norm": gradient_norm,
                "tokens_per_second": num_tokens / seconds,
                "epoch": (run.step + 1) / per_epoch,
            }
            run.end_step("train", numbers, {} if selection is None else selection.after_step(run))


@torch.no_grad()
def mean_loss(policy: Policy, sequences: Sequence[Encoded], batch_size: int) -> float:
    """Mean negative log-likelihood of all completion tokens, in nats a token."""
    order = sorted(range(len(sequences)), key=lambda i: sequences[i].length)
    sums = {"loss": 0.0, "tokens": 0.0}
    groups = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    for rows, counts in distributed.share(groups):
        batch = right_pad([sequences[i] for i in rows], policy.pad_id, policy.model.device)
        loss = float(negative_log_likelihood(policy, batch))
        sums["loss"] += loss if counts else 0.0
        sums["tokens"] += batch.num_completion_tokens if counts else 0
    sums = distributed.sum_over_processes(sums)
    return sums["loss"] / sums["tokens"]


def by_held_out_loss(policy: Policy, held_out: Sequence[Encoded], every: int, batch_size: int) -> Selection:
    """The choice of the step whose mean loss over held-out sequences is lowest, looked at every so many steps."""
    return Selection(
        policy.model, every, "loss", len(held_out), lambda: {"loss": mean_loss(policy, held_out, batch_size)}
    )


def run(folder: Path, config: SFTConfig) -> None:
    """The kind `sft`: data/demonstrations.parquet into model/. Rows of split `held_out` are only measured on.

    Raises:
        InputError: no row to train on.
    """
    device = set_up(config.engine)
    estimate = needs.require(folder, config)
    rows = read_split(folder / "data/demonstrations.parquet", tables.DEMONSTRATIONS, "demonstration_id")
    policy = load_policy(config.model, device)
    require_room(policy.model, config.text)
    as_read = reader(policy.model, policy.tokenizer, config.text, DEMONSTRATION)
    encoded = [as_read.demonstration(row) for row in rows]
    if config.loss_on == "all":
        encoded = [over_all_tokens(e) for e in encoded]
    train = [e for e, r in zip(encoded, rows, strict=True) if r["split"] == "train"]
    held_out = [e for e, r in zip(encoded, rows, strict=True) if r["split"] != "train"]
    if not train:
        raise InputError(f"{folder}/data/demonstrations.parquet: found {len(rows)} rows, expected some of split train")

    corpus = read_corpus(folder, policy.tokenizer, config)
    if config.lora is not None:
        lora.add(policy.model, config.lora, config.engine.seed)
    prepare(config.engine, policy.model)
    total_steps = num_steps(len(train), config.batch_size, config.num_epochs)
    run = Run(folder, "sft", config.engine, total_steps)
    learner = Learner(policy.model, config.optimizer, total_steps)
    selection = by_held_out_loss(policy, held_out, config.evaluate_every, config.micro_batch_size)
    selection.resume(run.resume({"model": policy.model} | selection.models, {"model": learner}))
    run.log_first("estimate", estimate)
    samples.watch(run, policy, rows, config.text)
    fit(
        run,
        learner,
        policy,
        train,
        num_epochs=config.num_epochs,
        batch_size=config.batch_size,
        micro_batch_size=config.micro_batch_size,
        selection=selection,
        corpus=corpus,
    )
    metrics: dict[str, float | int] = {"num_train": len(train), "num_held_out": len(held_out)}
    metrics |= selection.restore()
    if held_out:
        metrics["held_out_loss"] = mean_loss(policy, held_out, config.micro_batch_size)
    save_policy(policy, folder / "model")
    run.finish(metrics, ["model"])
