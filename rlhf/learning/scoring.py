"""Scores of answers, each made once: not again for the same words, nor after a restart."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import torch

from rlhf.learning import distributed, reward_model
from rlhf.learning.journal import Journal
from rlhf.learning.reward_model import HEAD, RewardModel
from rlhf.learning.text import Encoded


def scorer_of(model: RewardModel) -> str:
    """A name for a reward model's scores: a hash of its heads, gain and bias, which every training moves."""
    weight: torch.Tensor = getattr(model.network, HEAD).weight
    digest = hashlib.sha256(weight.detach().float().cpu().numpy().tobytes())
    digest.update(f"{model.gain!r} {model.bias!r}".encode())
    return digest.hexdigest()[:16]


def score_once(
    model: RewardModel,
    keys: Sequence[str],
    sequences: Sequence[Encoded],
    batch_size: int,
    journal: Journal,
    on_batch: Callable[[int, int], None],
) -> int:
    """Put the normalised score of every key into the journal. Returns how many there are to make.

    A batch that is in the journal as a whole isn't forwarded again; one that a crash cut is, as a whole: batches are
    the same after a restart, and so are the scores to the bit.

    keys: of the sequences; equal keys are scored once. on_batch: called after each batch with (done, to do in all).
    """
    distinct = dict(zip(keys, sequences, strict=True))
    names, unseen = list(distinct), list(distinct.values())
    done = 0
    for rows in reward_model.groups_by_length([sequence.length for sequence in unseen], batch_size):
        if not all(names[row] in journal for row in rows):
            size = distributed.micro_batch_size(batch_size, len(rows))
            raw = reward_model.score(model, [unseen[row] for row in rows], size)
            scores = model.normalised(torch.tensor(raw, dtype=torch.float64)).tolist()
            journal.put_all(dict(zip([names[row] for row in rows], scores, strict=True)))
        done += len(rows)
        on_batch(done, len(unseen))
    return len(unseen)
