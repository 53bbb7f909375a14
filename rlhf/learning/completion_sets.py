"""Rankings as tokens, and which of them are of one completion set: whoever ranked a set, it needs one forward.

Several people may rank the same completions. Their rankings keep their own comparisons, weights and labels; what they
share is the numbers of the completions, so that losses and gradients are those of a forward each, for the price of one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rlhf.learning.records import Comparisons
from rlhf.learning.text import Encoded


@dataclass(frozen=True)
class EncodedRanking:
    """A ranking of K completions as tokens, and the comparisons that it holds."""

    row: Mapping[str, Any]  # of data/rankings.parquet
    sequences: list[Encoded]  # K
    comparisons: Comparisons
    weight: float
    level: int | None = None  # how much better, an index into records.LEVELS
    margins: tuple[float, ...] = ()  # of each comparison; empty: all 0
    safe: tuple[bool | None, ...] = ()  # of each completion; None, and empty, where nobody said so

    @property
    def num_pairs(self) -> int:
        return len(self.comparisons.winners)


def completion_set(row: Mapping[str, Any]) -> tuple[int, frozenset[int]]:
    """Which set a ranking is of: its prompt and its completions' ids, in whatever order, without an edited text."""
    ids = row["completion_ids"]
    return row["prompt_id"], frozenset(ids[:-1] if row["edited"] else ids)


def side_by_side(rankings: Sequence[EncodedRanking]) -> tuple[list[int], list[list[int]]]:
    """For the batches of an epoch: each ranking's length, which is its set's longest, and the rankings of each set."""
    sets: dict[object, list[int]] = {}
    for place, ranking in enumerate(rankings):
        sets.setdefault(completion_set(ranking.row), []).append(place)
    lengths = [0] * len(rankings)
    for places in sets.values():
        longest = max(sequence.length for place in places for sequence in rankings[place].sequences)
        for place in places:
            lengths[place] = longest
    return lengths, list(sets.values())


def distinct(rankings: Sequence[EncodedRanking]) -> tuple[list[Encoded], list[int]]:
    """The M completions of rankings that need a forward, and which of them each of all N is, ranking after ranking.

    Whoever ranked a set shares its forwards: a completion is told by its id within its set. Ids that were given twice
    are harmless, since the tokens must be the same, too.
    """
    found: dict[object, tuple[int, Encoded]] = {}
    places = []
    for ranking in rankings:
        of_set = completion_set(ranking.row)
        for completion_id, one in zip(ranking.row["completion_ids"], ranking.sequences, strict=True):
            key = (of_set, completion_id, tuple(one.prompt_ids), tuple(one.completion_ids))
            places.append(found.setdefault(key, (len(found), one))[0])
    return [one for _, one in found.values()], places
