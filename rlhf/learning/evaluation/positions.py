"""Whether a judge leans to the answer that it sees first: of judges that saw pairs in both orders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rlhf.learning.evaluation.units import BASELINE_FIRST, CANDIDATE_FIRST, Floats, Ints, combined, numbered
from rlhf.learning.evaluation.verdicts import Verdicts
from rlhf.learning.stats.positions import position

Row = dict[str, Any]


def positions(verdicts: Verdicts, judges: Sequence[Row], confidence: float) -> list[Row]:
    """A row per judge with both orders; a pair is one (evaluation, prompt, rater, replicate), of both splits."""
    found = []
    for judge in judges:
        rows = np.flatnonzero(verdicts.judge == judge["id"])
        pairs = [_by_pair(verdicts, rows, order) for order in (CANDIDATE_FIRST, BASELINE_FIRST)]
        _, first, second = np.intersect1d(pairs[0][0], pairs[1][0], return_indices=True)
        if not first.size:
            continue
        made = position(pairs[0][1][first], pairs[0][2][first], pairs[1][2][second], confidence)
        found.append(
            {
                "judge": judge["id"],
                "num_pairs": made.num_pairs,
                "consistency": made.consistency,
                "num_first": made.num_first,
                "num_second": made.num_second,
                "p": made.p,
                "bias": made.bias,
                "low": made.low,
                "high": made.high,
            }
        )
    return found


def _by_pair(verdicts: Verdicts, rows: Ints, order: str) -> tuple[Ints, Ints, Floats]:
    """Of one order: the pairs, their prompts and the mean score of each."""
    keys = combined([verdicts.unit[rows], verdicts.rater.codes[rows], numbered(verdicts.replicate[rows])])
    codes = [code for code, value in enumerate(verdicts.position.values) if value == order]
    own = np.isin(verdicts.position.codes[rows], codes)
    pairs, row, index = np.unique(keys[own], return_index=True, return_inverse=True)
    scores = np.bincount(index, weights=verdicts.score[rows[own]], minlength=len(pairs)) / np.bincount(
        index, minlength=len(pairs)
    )
    return pairs, verdicts.prompt[rows[own]][row], scores
