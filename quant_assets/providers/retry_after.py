"""Parsers of the headers `Date` and `Retry-After` (whole seconds, decimal seconds or a date).

urllib3's own parser rejects the decimal seconds that this provider sends.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Return the seconds to wait from `now` (UTC), at least 0, or None if the header is missing or invalid."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        date = parse_http_date(value)
        if date is None:
            return None
        seconds = date - now.timestamp()
    return max(seconds, 0.0) if math.isfinite(seconds) else None


def parse_http_date(value: str | None) -> float | None:
    """Return a date as UNIX seconds, or None if the header is missing or invalid."""
    try:
        date = parsedate_to_datetime(value or "")
        return (date.replace(tzinfo=UTC) if date.tzinfo is None else date).timestamp()
    except (ValueError, OverflowError, TypeError):
        return None
