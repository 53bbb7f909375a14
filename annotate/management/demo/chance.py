"""Chance without state: every draw is a function of a key, so nothing depends on order, process or machine."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def number(*key: object) -> int:
    """64 bits from a key of strings and integers."""
    text = "\x1f".join(str(part) for part in key)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def uniform(*key: object) -> float:
    """A number strictly between 0 and 1 from a key: its logarithm is finite."""
    return ((number(*key) >> 11) + 0.5) / 2**53


class Draws:
    """A stream of draws that belongs to one key. Only `random()` is used: Python promises to keep its sequence."""

    def __init__(self, *key: object) -> None:
        self._random = random.Random(number(*key))

    def happens(self, probability: float) -> bool:
        return self._random.random() < probability

    def below(self, limit: int) -> int:
        return int(self._random.random() * limit)

    def pick(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]

    def weighted(self, weights: Sequence[float]) -> int:
        """An index of `weights`, as likely as its weight is large."""
        at = self._random.random() * sum(weights)
        for index, weight in enumerate(weights):
            if at < weight:
                return index
            at -= weight
        return len(weights) - 1

    def several(self, options: Sequence[T], count: int) -> list[T]:
        """`count` different options, in the order drawn."""
        left = list(options)
        return [left.pop(self.below(len(left))) for _ in range(min(count, len(left)))]


def permuted(index: int, size: int, *key: object) -> int:
    """The place of `index` in a shuffle of range(size) that belongs to the key: a bijection, found without listing it.

    A Feistel network on the next even number of bits, walked until it lands inside the range.
    """
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    mask = (1 << half) - 1
    while True:
        left, right = index >> half, index & mask
        for turn in range(4):
            left, right = right, left ^ (number(*key, turn, right) & mask)
        index = (left << half) | right
        if index < size:
            return index
