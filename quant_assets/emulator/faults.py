"""Choose the faults that the emulator injects."""

from __future__ import annotations

from dataclasses import dataclass

from quant_assets.emulator.noise import hash_fraction

KINDS = ("server_error", "cut", "closed", "slow", "html", "garbled")


@dataclass(frozen=True, slots=True)
class Faults:
    """Which share of the requests fails, and how; none by default.

    `server_error` responds with 500, 502 or 503; `cut` announces more bytes than it sends, and closes; `closed`
    closes without a response; `slow` responds after `delay_seconds`; `html` sends a web page with status 200;
    `garbled` sends half of the body as if it were whole. Shares are fractions that add up to at most 1. `script` names
    the faults of the first requests in order ("" for none); the shares apply to the rest. The choice depends only on
    the seed and the request's number since the faults were set. Raises ValueError for invalid shares or names.
    """

    seed: int = 0
    server_error: float = 0.0
    cut: float = 0.0
    closed: float = 0.0
    slow: float = 0.0
    delay_seconds: float = 0.05
    script: tuple[str, ...] = ()
    html: float = 0.0
    garbled: float = 0.0

    def __post_init__(self) -> None:
        """Validate shares and script."""
        shares = (self.server_error, self.cut, self.closed, self.slow, self.html, self.garbled)
        if min(shares) < 0 or sum(shares) > 1:
            raise ValueError(f"Invalid shares {shares}: expected numbers from 0 to 1 that add up to at most 1")
        unknown = set(self.script) - {"", *KINDS}
        if unknown:
            raise ValueError(f"Unknown faults {sorted(unknown)}: expected {', '.join(KINDS)}")

    def of_request(self, number: int) -> str:
        """Return the fault of request `number` (from 0), "" for none."""
        if number < len(self.script):
            return self.script[number]
        draw = hash_fraction("fault", self.seed, number)
        for kind in KINDS:
            draw -= float(getattr(self, kind))
            if draw < 0:
                return kind
        return ""

    def status_of_request(self, number: int) -> int:
        """Return the status of a server error."""
        return (500, 502, 503)[int(hash_fraction("status", self.seed, number) * 3)]
