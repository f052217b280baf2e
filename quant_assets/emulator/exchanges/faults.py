"""Describe what is wrong with a local exchange: single requests, its market list, its bars, its clock."""

from __future__ import annotations

from dataclasses import dataclass

from quant_assets.emulator.faults import Faults


@dataclass(frozen=True, slots=True)
class ExchangeFaults(Faults):
    """Which requests fail (see Faults), and what else is wrong; nothing by default.

    Attributes:
        down: every connection is closed without a response.
        ban_seconds: every request is refused as by a ban, from the first one on, for this long by the clock.
        list_share: the share of its contracts that the exchange still lists, the first ones.
        clock_offset_seconds: how far the exchange's clock is ahead of the given one.
        corrected: share of bars that are corrected `correction_seconds` after their close: until then close and
            volume differ from the final ones.
        late: share of bars that appear only `late_seconds` after their close.
        missing: share of bars that the exchange never has.
        repeated: share of bars that come twice in one response.
        shuffled: share of responses whose bars are out of order.
        hostile_names: bases of contracts that are added to the list, with the bars of its first contract.
    """

    down: bool = False
    ban_seconds: float = 0.0
    list_share: float = 1.0
    clock_offset_seconds: float = 0.0
    corrected: float = 0.0
    correction_seconds: float = 1200.0
    late: float = 0.0
    late_seconds: float = 120.0
    missing: float = 0.0
    repeated: float = 0.0
    shuffled: float = 0.0
    hostile_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Validate shares and script."""
        Faults.__post_init__(self)
        for name in ("list_share", "corrected", "late", "missing", "repeated", "shuffled"):
            share = float(getattr(self, name))
            if not 0 <= share <= 1:
                raise ValueError(f"Invalid share {name}={share}: expected a number from 0 to 1")


HOSTILE_NAMES = (
    "../../ETC",
    "<SCRIPT>ALERT(1)</SCRIPT>",
    "=CMD|'/C CALC'!A0",
    "CON",
    "NUL\x00BYTE",
    "NEW\nLINE",
    "\u202eDLOG",
    "龙虾",
    "Q" * 300,
    "A'; DROP TABLE BARS;--",
    "$(REBOOT)",
    "%2E%2E%2F",
)
"""Bases that a program must neither choke on nor execute, nor write a file by."""
