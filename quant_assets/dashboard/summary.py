"""The statistics of a feed above the page's table."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from quant_assets.dashboard import formatting

Json = Mapping[str, Any]


def summary(feed: Json) -> dict[str, Any]:
    """Return the statistics above the table, as text."""
    stats = feed["stats"]
    interest, api = stats["freshness"]["open_interest"], stats["api"]
    waited = api.get("waited_seconds", 0)
    return {
        "title": f"{stats['actions']['LONG']:,} long, {stats['actions']['SHORT']:,} short · signals",
        "window": feed["window"],
        "as_of": feed["as_of"],
        "as_of_ms": int(datetime.strptime(feed["as_of"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp() * 1000),
        "last_updated": feed["last_updated"],
        "updated": formatting.timestamp(feed["last_updated"]),
        "simulated": feed["simulated"],
        "strategies": stats["strategies"],
        "exchanges": sorted({signal["exchange"] for signal in feed["signals"]}),
        "texts": {
            "markets": f"{stats['markets']:,}",
            "signals": f"{stats['signals']:,}",
            **{name: f"{count:,}" for name, count in stats["actions"].items()},
            **{name: f"{count:,}" for name, count in stats["resolution"].items()},
            **{f"oi_{name}": f"{interest[name]:,}" for name in ("fresh", "stale", "missing")},
            "oi_median": formatting.age(interest["median_age_seconds"]) or "unknown",
            "calls": f"{api['calls']:,.0f}",
            "requests": f"{api['requests']:,.0f}",
            "cache_hits": f"{api['cache_hits']:,.0f}",
            "rate_limited": f"{api['rate_limited']:,.0f}",
            "waited": f"{waited:,.0f} s",
            "skipped": f"{len(stats['skipped']):,}",
        },
        "shares": _shares(stats["resolution"]),
    }


def _shares(counts: Mapping[str, int]) -> list[tuple[str, float, float]]:
    """Return the segments of a bar that is divided by counts: name, left and width, in percent."""
    total = sum(counts.values()) or 1
    shares, left = [], 0.0
    for name, count in counts.items():
        shares.append((name, round(left, 2), round(100 * count / total, 2)))
        left += 100 * count / total
    return shares
