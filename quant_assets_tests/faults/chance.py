"""How often and in which order faults come: a seed that is printed, and a short and a long form of each test."""

from __future__ import annotations

import os
from random import Random

#: The same seed gives the same faults.
SEED = int(os.environ.get("QUANT_FAULTS_SEED", "1"))
#: `make chaos` runs the long form, `make test` the short one.
LONG = os.environ.get("QUANT_FAULTS", "short") == "long"


def rounds(short: int, long: int) -> int:
    """How many rounds a test takes in this run."""
    return long if LONG else short


def dice(name: str) -> Random:
    """Chance of its own for each test, so that none depends on the order of tests."""
    return Random(f"{SEED}:{name}")
