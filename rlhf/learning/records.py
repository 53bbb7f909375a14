"""Labels as learning reads them: pure functions from rankings to comparisons, strengths to margins. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LEVELS = ("unsure", "slightly", "better", "significantly")  # how much better, in the words of Llama 2
# Margin of each level: Llama 2 (2307.09288), Table 27.
MARGINS: dict[str, tuple[float, float, float, float]] = {
    "off": (0.0, 0.0, 0.0, 0.0),
    "small": (0.0, 1 / 3, 2 / 3, 1.0),
    "large": (0.0, 1.0, 2.0, 3.0),
}
SAFETY = ("chosen", "both", "neither")  # which of two completions are safe: Llama 2, section 3.2.1
_LOWEST = {"four": 1, "seven": 0}  # strength of level 0; on a seven-point scale that is a tie
_HIGHEST = {"four": 4, "seven": 3}


@dataclass(frozen=True)
class Comparisons:
    """What one ranking of K completions says about pairs of them, as indices into it."""

    winners: tuple[int, ...]
    losers: tuple[int, ...]
    ties: tuple[tuple[int, int], ...]  # pairs of equal rank: InstructGPT drops them (2203.02155, C.2)

    @property
    def num_ties(self) -> int:
        return len(self.ties)


def comparisons(ranks: Sequence[int]) -> Comparisons:
    """All pairs of a ranking: the strict preferences, and apart from them the ties.

    InstructGPT (2203.02155), section 3.5: K completions give up to K(K-1)/2 pairs, kept in one batch element.

    Args:
        ranks: K ranks, 1 = best; equal numbers are ties.

    Returns:
        Winner and loser index of every pair with different ranks, ordered by (lower index, higher index);
        len(winners) + num_ties == K(K-1)/2.
    """
    winners, losers, ties = [], [], []
    for i in range(len(ranks)):
        for j in range(i + 1, len(ranks)):
            if ranks[i] == ranks[j]:
                ties.append((i, j))
                continue
            best, worst = (i, j) if ranks[i] < ranks[j] else (j, i)
            winners.append(best)
            losers.append(worst)
    return Comparisons(tuple(winners), tuple(losers), tuple(ties))


def level(strength: int, scale: str) -> int | None:
    """How much better, as an index into LEVELS; None where it was not asked, or where a tie has none.

    strength, scale: as in data/rankings.parquet: 1 to 4 on `four`, 0 to 3 on `seven`, 0 on "" and for a tie.
    Raises ValueError for anything else.
    """
    if scale == "" and strength == 0:
        return None
    if scale not in _LOWEST or not 0 <= strength <= _HIGHEST[scale]:
        raise ValueError(f"strength {strength} on scale {scale!r}, expected 1 to 4 on 'four' or 0 to 3 on 'seven'")
    return strength - _LOWEST[scale] if strength >= _LOWEST[scale] and strength > 0 else None


def margins(ranks: Sequence[int], strength_level: int | None, of_level: Sequence[float], edited: bool) -> list[float]:
    """The margin of each of `comparisons(ranks)`: of_level[strength_level], and 0 where nothing was said.

    The strength is that of the chosen over the rejected. Where the best completion is an edited text (the last one),
    that is at least as much better than the rejected; how much better than the chosen, nobody said.
    """
    pairs = comparisons(ranks)
    if strength_level is None:
        return [0.0] * len(pairs.winners)
    unknown = (len(ranks) - 1, ranks.index(sorted(ranks)[1])) if edited else None
    return [
        0.0 if pair == unknown else of_level[strength_level] for pair in zip(pairs.winners, pairs.losers, strict=True)
    ]


def safety_labels(ranks: Sequence[int], safety: str, edited: bool) -> tuple[bool | None, ...]:
    """Whether each completion is safe; None where nobody said so.

    `safety` is one of SAFETY, said of a pair, or "". An edited text (the last completion) came after the question.
    """
    told = len(ranks) - (1 if edited else 0)
    if not safety:
        return (None,) * len(ranks)
    assert safety in SAFETY and told == 2, (safety, ranks)
    found = [safety == "both" or (safety == "chosen" and rank == min(ranks[:told])) for rank in ranks[:told]]
    return (*found, None) if edited else tuple(found)
