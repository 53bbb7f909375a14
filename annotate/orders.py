"""Which completion is shown where: balanced in blocks, so that no version gains from its place on the screen.

`block_position` counts the tasks that show the same versions. Within each full block, and for each slot by itself,
every version is at every place equally often; the project's salt makes the pattern nobody's to guess.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

BLOCK = 8  # tasks of two completions: four of them swapped


def order_shown(*, salt: str, block_position: int, slot: int, completion_ids: Sequence[int]) -> list[int]:
    """The completions, given in the order of the task, in the order on screen."""
    if len(completion_ids) == 2:
        swapped = _is_swapped(salt, block_position) ^ bool(slot % 2)
        return list(reversed(completion_ids)) if swapped else list(completion_ids)
    return _rotated(salt, block_position, slot, completion_ids)


def _is_swapped(salt: str, block_position: int) -> bool:
    block, place = divmod(block_position, BLOCK)
    return place in _shuffled(f"{salt}:pair:{block}", BLOCK)[: BLOCK // 2]


def _rotated(salt: str, block_position: int, slot: int, completion_ids: Sequence[int]) -> list[int]:
    """A shuffle per block of as many tasks as there are completions, turned one further with each task and slot."""
    num = len(completion_ids)
    if num == 0:
        return []
    shuffled = _shuffled(f"{salt}:{num}:{block_position // num}", num)
    turned = (block_position + slot) % num
    return [completion_ids[index] for index in shuffled[turned:] + shuffled[:turned]]


def _shuffled(seed: str, num: int) -> list[int]:
    return sorted(range(num), key=lambda index: hashlib.sha256(f"{seed}:{index}".encode()).digest())
