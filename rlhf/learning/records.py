"""Labels as learning reads them: pure functions from rankings to comparisons. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Comparisons:
    """The strict preferences of one ranking of K completions, as indices into it."""

    winners: tuple[int, ...]
    losers: tuple[int, ...]
    num_ties: int  # pairs with equal ranks: dropped, as InstructGPT does (2203.02155, C.2), but counted


def comparisons(ranks: Sequence[int]) -> Comparisons:
    """All pairs of a ranking in which one completion is strictly better.

    InstructGPT (2203.02155), section 3.5: K completions give up to K(K-1)/2 pairs, kept in one batch element.

    Args:
        ranks: K ranks, 1 = best; equal numbers are ties.

    Returns:
        Winner and loser index of every pair with different ranks, ordered by (lower index, higher index);
        len(winners) + num_ties == K(K-1)/2.
    """
    winners, losers, num_ties = [], [], 0
    for i in range(len(ranks)):
        for j in range(i + 1, len(ranks)):
            if ranks[i] == ranks[j]:
                num_ties += 1
                continue
            best, worst = (i, j) if ranks[i] < ranks[j] else (j, i)
            winners.append(best)
            losers.append(worst)
    return Comparisons(tuple(winners), tuple(losers), num_ties)
