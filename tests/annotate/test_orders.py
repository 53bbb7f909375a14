"""The order on screen: balanced in every full block, for every slot, and nobody's to guess."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from annotate.orders import BLOCK, order_shown

salts = st.text(min_size=1, max_size=8)


@given(salt=salts, block=st.integers(0, 10_000), slot=st.integers(0, 40))
def test_in_each_full_block_either_version_is_on_the_left_in_half(salt: str, block: int, slot: int) -> None:
    shown = [
        order_shown(salt=salt, block_position=block * BLOCK + place, slot=slot, completion_ids=[10, 20])
        for place in range(BLOCK)
    ]
    assert Counter(order[0] for order in shown) == {10: BLOCK // 2, 20: BLOCK // 2}


@given(salt=salts, position=st.integers(0, 100_000), slot=st.integers(0, 40))
def test_the_next_person_on_a_task_sees_the_pair_the_other_way_round(salt: str, position: int, slot: int) -> None:
    this, following = (
        order_shown(salt=salt, block_position=position, slot=one, completion_ids=[10, 20]) for one in (slot, slot + 1)
    )
    assert this == following[::-1]


@given(salt=salts, num=st.integers(3, 9), block=st.integers(0, 10_000), slot=st.integers(0, 40))
def test_in_each_full_block_of_k_every_version_is_at_every_place_once(
    salt: str, num: int, block: int, slot: int
) -> None:
    ids = list(range(100, 100 + num))
    shown = [
        order_shown(salt=salt, block_position=block * num + place, slot=slot, completion_ids=ids)
        for place in range(num)
    ]
    for column in zip(*shown, strict=True):
        assert sorted(column) == ids


def test_over_ten_thousand_assignments_each_version_is_on_the_left_in_half_and_without_a_pattern() -> None:
    """Tasks of three people each, handed out in their order; runs tell a pattern that a person could learn."""
    left = [
        order_shown(salt="salt", block_position=number // 3, slot=number % 3, completion_ids=[1, 2])[0]
        for number in range(9_999)
    ] + [order_shown(salt="salt", block_position=3_333, slot=0, completion_ids=[1, 2])[0]]
    assert 4_800 <= left.count(1) <= 5_200
    of_slot_0 = left[::3]
    same_as_before = sum(a == b for a, b in zip(of_slot_0, of_slot_0[1:], strict=False)) / (len(of_slot_0) - 1)
    assert 0.40 < same_as_before < 0.50  # 3/7 within a block of four and four, 1/2 between blocks
    assert left != [
        order_shown(salt="other", block_position=number // 3, slot=number % 3, completion_ids=[1, 2])[0]
        for number in range(10_000)
    ]


def test_a_task_without_completions_has_no_order() -> None:
    assert order_shown(salt="s", block_position=0, slot=0, completion_ids=[]) == []
