"""Generate deterministic noise from a key and an index, without state.

Every function is elementwise in its index, so that a value does not depend on the requested range.
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


def hash_key(*parts: str | int) -> int:
    """Return a 64-bit hash of the parts, the same on every machine."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def hash_fraction(*parts: str | int) -> float:
    """Return the hash of the parts as a number in [0, 1)."""
    return (hash_key(*parts) >> 11) / (1 << 53)


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
    """Return one nearly normal number for each index: mean 0, deviation 1, within ±3.47.

    It is the sum of four 16-bit uniforms, exact on every machine.
    """
    bits = splitmix(key, index)
    total = np.zeros(bits.shape, dtype=np.float64)
    for shift in (0, 16, 32, 48):
        total += ((bits >> np.uint64(shift)) & np.uint64(0xFFFF)).astype(np.float64)
    return np.asarray((total * 2.0**-16 - 2.0) * 3.0**0.5, dtype=np.float64)


def value_noise(key: int, index: Integers, period: int) -> Floats:
    """Return value noise: normal numbers on a lattice of `period`, interpolated smoothly.

    `index` is ascending and not empty.
    """
    cell, inside = np.divmod(index, period)
    first = int(cell[0])
    lattice = normal(key, np.arange(first, int(cell[-1]) + 2, dtype=np.int64))
    share = inside / period
    ease = share * share * (3.0 - 2.0 * share)
    left = lattice[cell - first]
    return np.asarray(left + (lattice[cell - first + 1] - left) * ease, dtype=np.float64)
