"""A ranking becomes all its strict comparisons, once each."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from rlhf.learning.records import comparisons


def test_a_ranking_of_four_with_one_tie_by_hand() -> None:
    found = comparisons([2, 1, 3, 2])
    assert list(zip(found.winners, found.losers, strict=True)) == [(1, 0), (0, 2), (1, 2), (1, 3), (3, 2)]
    assert found.num_ties == 1


def test_nothing_to_compare() -> None:
    assert comparisons([]).winners == comparisons([1]).winners == ()
    assert comparisons([1, 1, 1]).num_ties == 3


@given(st.lists(st.integers(1, 5), max_size=9))
def test_every_pair_is_a_comparison_or_a_tie(ranks: list[int]) -> None:
    found = comparisons(ranks)
    assert len(found.winners) + found.num_ties == math.comb(len(ranks), 2)
    assert all(ranks[w] < ranks[loser] for w, loser in zip(found.winners, found.losers, strict=True))
    assert len({frozenset(pair) for pair in zip(found.winners, found.losers, strict=True)}) == len(found.winners)
