"""Random numbers that belong to what they are for, whatever the order of drawing: hashes of (seed, ids, position)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def uniform(keys: NDArray[np.uint64], positions: NDArray[np.int64] | int) -> NDArray[np.float32]:
    """Uniform numbers in (0, 1) for (key, position): 23 bits and a half, so that neither end is ever reached.

    keys: (B,). positions: (B,), or one for all.
    """
    offsets = (np.atleast_1d(positions).astype(np.uint64) + np.uint64(1)) * _GOLDEN
    bits = _splitmix(keys + offsets) >> np.uint64(41)
    numbers: NDArray[np.float32] = ((bits.astype(np.float64) + 0.5) / 2**23).astype(np.float32)
    return numbers


def mix(*values: int) -> int:
    """A 64-bit number out of several, order included: seeds derived from seeds."""
    key = np.zeros(1, np.uint64)
    for value in values:
        key = _splitmix((key ^ np.uint64(value & 0xFFFFFFFFFFFFFFFF)) + _GOLDEN)
    return int(key[0])


_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _splitmix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The output function of splitmix64 (Steele, Lea and Flood 2014); arrays wrap around without a warning."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
