"""The entries of the built-in datasets, in the order in which they are shown.

The first one decides a market's status, and is fetched first.
"""

from __future__ import annotations

from typing import Final

from quant_assets.derivatives.dataset_spec import DatasetSpec, Value
from quant_assets.derivatives.exchange_values import with_own_funding, with_own_interest
from quant_assets.derivatives.funding import with_funding_interval
from quant_assets.derivatives.last_bar import last_bar
from quant_assets.derivatives.liquidations import read_liquidations
from quant_assets.derivatives.open_interest import read_open_interest

OPEN_INTEREST: Final = DatasetSpec(
    name="open_interest",
    label="Open interest",
    description="Open interest of each market at the window's end, its z-score and trend over 24 hours.",
    endpoint="open-interest-history",
    columns=("open", "high", "low", "close"),
    values=(
        Value("value", "Open interest at the last close, in unit."),
        Value(
            "z_score",
            "(last - mean) / standard deviation of at most 30 closes; empty below 14, or where they are flat.",
        ),
        Value("points", "15-minute closes known of the last 24 hours.", "int64"),
        Value("average", "Mean of these closes, in unit."),
        Value("slope", "Least-squares slope of these closes, unit per bar."),
        Value(
            "change_24h_pct",
            "Last of these closes against the first, percent; empty where the first is less than 23 hours older.",
            unit="%",
        ),
        Value("z_score_provider", "Provider of the z-score where it is of another series than the value.", "str"),
    ),
    read=read_open_interest,
    own_values=with_own_interest,
    cadence_minutes=15,
    has_unit=True,
    chart={"value": "close"},
    colour="#1b6ca8",
    feed={},  # it has a block of its own, oi_metadata
    features={
        "status": "oi_status",
        "coinalyze_symbol": "oi_symbol",
        "source_exchange": "oi_exchange",
        "unit": "oi_unit",
        "closed_at_ms": "oi_closed_at_ms",
        "value": "oi_value",
        "z_score": "oi_z_score",
        "points": "oi_points",
        "average": "oi_average",
        "slope": "oi_slope",
        "change_24h_pct": "oi_change_24h_pct",
        "z_score_provider": "oi_z_score_provider",
    },
)

FUNDING_RATE: Final = DatasetSpec(
    name="funding_rate",
    label="Funding",
    description="Last funding rate of each market known at the window's end, percent.",
    endpoint="funding-rate-history",
    columns=("open", "high", "low", "close"),
    values=(
        Value("funding_rate_pct", "Funding rate, percent for its interval.", unit="%"),
        Value("interval_hours", "Hours that the rate is for; empty where unknown, which counts as 8."),
    ),
    read=last_bar(funding_rate_pct="close"),
    complete=with_funding_interval,
    own_values=with_own_funding,
    colour="#c26a0a",
    feed={"value": "funding_rate_pct", "interval_hours": "interval_hours"},
    features={
        "closed_at_ms": "funding_closed_at_ms",
        "provider": "funding_provider",
        "funding_rate_pct": "funding_rate_pct",
        "interval_hours": "funding_interval_hours",
    },
)

LONG_SHORT_RATIO: Final = DatasetSpec(
    name="long_short_ratio",
    label="Long / short",
    description="Last ratio of long to short accounts of each market known at the window's end.",
    endpoint="long-short-ratio-history",
    columns=("ratio", "longs_pct", "shorts_pct"),
    values=(
        Value("long_short_ratio", "Long accounts by short accounts."),
        Value("longs_pct", "Long accounts, percent.", unit="%"),
        Value("shorts_pct", "Short accounts, percent.", unit="%"),
    ),
    read=last_bar(long_short_ratio="ratio", longs_pct="longs_pct", shorts_pct="shorts_pct"),
    is_published=lambda candidate: candidate.has_long_short_ratio,
    colour="#2a8a4a",
    feed={"value": "long_short_ratio"},
    features={
        "closed_at_ms": "long_short_closed_at_ms",
        "provider": "long_short_provider",
        "long_short_ratio": "long_short_ratio",
        "longs_pct": "longs_pct",
        "shorts_pct": "shorts_pct",
    },
)

LIQUIDATIONS: Final = DatasetSpec(
    name="liquidations",
    label="Liquidations, 24 h",
    description="Longs and shorts of each market that were liquidated in the last hour and the last 24.",
    endpoint="liquidation-history",
    columns=("longs", "shorts"),
    values=(
        Value("longs_1h", "Longs liquidated in the hour before closed_at_ms, in unit."),
        Value("shorts_1h", "Shorts liquidated in the hour before closed_at_ms, in unit."),
        Value("longs_24h", "Longs liquidated in the 24 hours before closed_at_ms, in unit."),
        Value("shorts_24h", "Shorts liquidated in the 24 hours before closed_at_ms, in unit."),
    ),
    read=read_liquidations,
    has_unit=True,
    is_sparse=True,
    is_published=lambda candidate: candidate.has_liquidations,
    chart={"longs": "longs", "shorts": "shorts"},
    colour="#9a3b8a",
    feed={name: name for name in ("longs_1h", "shorts_1h", "longs_24h", "shorts_24h", "unit")},
    features={
        "closed_at_ms": "liquidations_closed_at_ms",
        "provider": "liquidations_provider",
        "unit": "liquidations_unit",
        "longs_1h": "liquidated_longs_1h",
        "shorts_1h": "liquidated_shorts_1h",
        "longs_24h": "liquidated_longs_24h",
        "shorts_24h": "liquidated_shorts_24h",
    },
)

BUILT_IN: Final = (OPEN_INTEREST, FUNDING_RATE, LONG_SHORT_RATIO, LIQUIDATIONS)
