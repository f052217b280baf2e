"""The seed of the random faults, and the number of rounds of the short and the long form of each test."""

from __future__ import annotations

import os
from random import Random

#: The same seed gives the same faults.
SEED = int(os.environ.get("QUANT_FAULTS_SEED", "1"))
#: `make chaos` runs the long form, `make test` and `make system` the short one.
LONG = os.environ.get("QUANT_FAULTS", "short") == "long"


def rounds(short: int, long: int) -> int:
    """Return the number of rounds of a test in this run."""
    return long if LONG else short


def seeded_random(name: str) -> Random:
    """Return a generator for one test, seeded by SEED and the name, so that the order of tests does not matter."""
    return Random(f"{SEED}:{name}")
