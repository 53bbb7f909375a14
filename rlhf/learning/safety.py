"""What labelers said about safety, as a reward model reads it: whether it is there, and is learned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rlhf.learning.completion_sets import EncodedRanking
from rlhf.learning.configs import InputError


class NoSafetyLabels(InputError):
    """Safety labels are asked for, and no training ranking has one."""


def require_labels(training: Sequence[EncodedRanking]) -> None:
    """Raise NoSafetyLabels where safety_coefficient would weigh nothing."""
    if not any(label is not None for ranking in training for label in ranking.safe):
        raise NoSafetyLabels(
            f"data/rankings.parquet, field safety: found no label in {len(training)} training rankings, expected at "
            "least one since safety_coefficient is above 0"
        )


def held_out(rankings: Sequence[EncodedRanking], scores: Sequence[float]) -> dict[str, Any]:
    """Accuracy of "safe where the raw score is above 0", and the recall of unsafe answers (Llama 2, Table 29).

    scores: (N,), raw, of every completion of the rankings in turn. Empty where no answer has a label; `unsafe_recall`
    is None where none is unsafe.
    """
    labels = [label for ranking in rankings for label in ranking.safe or (None,) * len(ranking.sequences)]
    pairs = [(label, score > 0) for label, score in zip(labels, scores, strict=True) if label is not None]
    if not pairs:
        return {}
    flagged = [not said for label, said in pairs if not label]
    return {
        "safety_accuracy": sum(label == said for label, said in pairs) / len(pairs),
        "unsafe_recall": sum(flagged) / len(flagged) if flagged else None,
        "num_safety_labels": len(pairs),
    }
