"""Noise without state: numbers that follow from a key and an index alone.

Every function is elementwise in its index, so that a value never depends on which range was asked for.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_MASK_64 = 0xFFFFFFFFFFFFFFFF


def key_of(*parts: str | int) -> int:
    """Return a 64-bit key of the parts; the same parts give the same key on every machine."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def share_of(*parts: str | int) -> float:
    """Return a number in [0, 1) that follows from the parts."""
    return (key_of(*parts) >> 11) / (1 << 53)


def splitmix(key: int, index: Integers) -> NDArray[np.uint64]:
    """Hash each index under a key (splitmix64, Steele, Lea and Flood 2014)."""
    state = (index.astype(np.uint64) + np.uint64(1)) * _GOLDEN + np.uint64(key & _MASK_64)
    state = (state ^ (state >> np.uint64(30))) * _MIX_1
    state = (state ^ (state >> np.uint64(27))) * _MIX_2
    return np.asarray(state ^ (state >> np.uint64(31)), dtype=np.uint64)


def uniform(key: int, index: Integers) -> Floats:
    """Return one number in [0, 1) for each index."""
    return np.asarray((splitmix(key, index) >> np.uint64(11)).astype(np.float64) * 2.0**-53, dtype=np.float64)


def normal(key: int, index: Integers) -> Floats:
    """Return one number for each index, nearly normal, mean 0 and deviation 1, never beyond ±3.47.

    The sum of four 16-bit uniforms: exact arithmetic, so no machine rounds it differently.
    """
    bits = splitmix(key, index)
    total = np.zeros(bits.shape, dtype=np.float64)
    for shift in (0, 16, 32, 48):
        total += ((bits >> np.uint64(shift)) & np.uint64(0xFFFF)).astype(np.float64)
    return np.asarray((total * 2.0**-16 - 2.0) * 3.0**0.5, dtype=np.float64)


def smooth(key: int, index: Integers, period: int) -> Floats:
    """Return value noise: normal numbers on a lattice of `period`, joined by smooth curves.

    `index` ascends and is not empty.
    """
    cell, inside = np.divmod(index, period)
    first = int(cell[0])
    lattice = normal(key, np.arange(first, int(cell[-1]) + 2, dtype=np.int64))
    share = inside / period
    ease = share * share * (3.0 - 2.0 * share)
    left = lattice[cell - first]
    return np.asarray(left + (lattice[cell - first + 1] - left) * ease, dtype=np.float64)
