"""The 15-minute windows that partition all data, and timestamps of users."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

WINDOW_LENGTH = timedelta(minutes=15)
KEY_FORMAT = "%Y-%m-%d-%H:%M"
FIRST_WINDOW = "2026-01-01-00:00"
"""Key of the first window that can be scanned."""


class WindowError(ValueError):
    """A partition key or a timestamp is invalid; the message has an example of a valid one."""


@dataclass(frozen=True, order=True, slots=True)
class Window:
    """A quarter of an hour in UTC. A bar that closes at `end` belongs to the window."""

    end: datetime

    def __post_init__(self) -> None:
        """Raise WindowError if the end is not a quarter hour in UTC."""
        if self.end.utcoffset() != timedelta(0):
            raise WindowError(f"the end of a window must be timezone-aware UTC, not {self.end!r}")
        if self.end != _floor(self.end):
            raise WindowError(f"a window must end at a quarter hour, not at {self.end.isoformat()}")

    @property
    def start(self) -> datetime:
        """The time at which the window opens."""
        return self.end - WINDOW_LENGTH

    @property
    def key(self) -> str:
        """The partition key: the window's start, like `2026-01-19-16:45`."""
        return self.start.strftime(KEY_FORMAT)

    @property
    def end_seconds(self) -> int:
        """The end as UNIX seconds."""
        return int(self.end.timestamp())

    @property
    def end_ms(self) -> int:
        """The end as UNIX milliseconds, the unit of candle files and of the feed."""
        return self.end_seconds * 1000

    @classmethod
    def of_key(cls, key: str) -> Window:
        """Parse a partition key. Raises WindowError if it is invalid."""
        try:
            start = datetime.strptime(key, KEY_FORMAT).replace(tzinfo=UTC)
            return cls(start + WINDOW_LENGTH)
        except (ValueError, OverflowError):
            raise WindowError(f"Invalid window {key!r}: expected a key like 2026-01-19-16:45") from None

    @classmethod
    def last_complete(cls, moment: datetime) -> Window:
        """Return the newest window that has ended by `moment`. Raises WindowError if it has no time zone."""
        if moment.tzinfo is None:
            raise WindowError(f"{moment.isoformat()} has no time zone; add Z for UTC")
        return cls(_floor(moment.astimezone(UTC)))


def parse_timestamp(text: str) -> datetime:
    """Parse an ISO 8601 timestamp such as `2026-01-19T17:00:00Z`, and convert it to UTC.

    A timestamp without an offset is taken as UTC. Raises WindowError if it is invalid.
    """
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise WindowError(f"Invalid timestamp {text!r}: expected ISO 8601, e.g. 2026-01-19T17:00:00Z") from None


def _floor(moment: datetime) -> datetime:
    return moment.replace(minute=moment.minute - moment.minute % 15, second=0, microsecond=0)
