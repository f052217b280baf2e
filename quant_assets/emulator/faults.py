"""Faults that the emulator commits on purpose."""

from __future__ import annotations

from dataclasses import dataclass

from quant_assets.emulator.hashing import share_of

KINDS = ("server_error", "cut", "closed", "slow")


@dataclass(frozen=True, slots=True)
class Faults:
    """Which share of the requests fails, and how; by default none.

    `server_error` answers 500, 502 or 503; `cut` promises more bytes than it sends and closes; `closed` closes
    without an answer; `slow` answers after `delay_seconds`. The shares are of 1 and add up to 1 at most. `script`
    names what befalls the first requests, one after the other ("" for nothing), before the shares take over.
    Which request suffers follows from the seed and the request's number alone, counted from when the faults were
    set. Raises ValueError for shares or names that make no sense.
    """

    seed: int = 0
    server_error: float = 0.0
    cut: float = 0.0
    closed: float = 0.0
    slow: float = 0.0
    delay_seconds: float = 0.05
    script: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse shares that are none, and kinds that are not known."""
        shares = (self.server_error, self.cut, self.closed, self.slow)
        if min(shares) < 0 or sum(shares) > 1:
            raise ValueError(f"the shares of faults lie in 0 … 1 and add up to 1 at most, not {shares}")
        unknown = set(self.script) - {"", *KINDS}
        if unknown:
            raise ValueError(f"unknown faults {sorted(unknown)}; known are {', '.join(KINDS)}")

    def of_request(self, number: int) -> str:
        """Return the kind of fault that befalls request `number` (from 0), "" for none."""
        if number < len(self.script):
            return self.script[number]
        draw = share_of("fault", self.seed, number)
        for kind in KINDS:
            draw -= float(getattr(self, kind))
            if draw < 0:
                return kind
        return ""

    def status_of_request(self, number: int) -> int:
        """Return the status of a server error."""
        return (500, 502, 503)[int(share_of("status", self.seed, number) * 3)]
