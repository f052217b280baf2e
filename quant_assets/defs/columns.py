"""What the columns of each table mean: the schemas that Dagster shows.

Here: names, types and descriptions with units. Not here: the features' columns, which describe themselves
(quant_assets/signals/features.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import dagster as dg
import pandas as pd

from quant_assets.derivatives.datasets import Dataset
from quant_assets.signals import COLUMNS as FEATURES
from quant_assets.signals import Strategy

_MARKET: Final = {
    "exchange": "Exchange, as in the candle file's name.",
    "symbol": "Local symbol, as in the file's name.",
}

CANDLES: Final = {
    **_MARKET,
    "timeframe": "15m or 4h.",
    "time_ms": "Open of the bar, epoch ms.",
    "open": "Price, in quote.",
    "high": "Price, in quote.",
    "low": "Price, in quote.",
    "close": "Price, in quote; of a bar that is still open, the price so far.",
    "volume": "Volume, in the exchange's unit.",
}
CANDLE_FILES: Final = {
    "file": "Name in the candle folder.",
    **_MARKET,
    "timeframe": "As in the file's name.",
    "size": "Bytes.",
    "modified_ns": "Last change, epoch ns.",
    "inode": "The file's identity in its file system.",
    "status": "read, skipped, or unused (a timeframe that no strategy reads).",
    "reason": "Why it was skipped.",
    "bars": "Bars kept.",
    "dropped": "Bars left out one by one.",
    "note": "Why bars were left out.",
    "gaps": "Places inside where bars are missing.",
    "first_ms": "Open of the first bar, epoch ms.",
    "last_ms": "Open of the last bar, epoch ms.",
    "simulated": "Whether the folder says that its candles are made up.",
}
COINALYZE_MARKETS: Final = {
    "symbol": "Coinalyze symbol.",
    "exchange": "Exchange code.",
    "exchange_name": "Exchange name.",
    "symbol_on_exchange": "The exchange's own name of the market.",
    "base_asset": "Base as listed, with its multiplier.",
    "quote_asset": "Quote as listed.",
    "is_perpetual": "Whether it never expires.",
    "margined": "STABLE or COIN.",
    "expire_at_ms": "Expiry or delisting, epoch ms; empty for never.",
    "oi_lq_vol_denominated_in": "Unit of open interest, liquidations and volume: BASE_ASSET or QUOTE_ASSET.",
    "has_long_short_ratio_data": "Whether the long/short ratio is served.",
    "has_ohlcv_data": "Whether candles are served.",
    "has_buy_sell_data": "Whether buy volume is served.",
    "fetched_at_ms": "When the list was fetched, epoch ms.",
    "provider": "Host that answered.",
    "simulated": "Whether an emulator answered.",
}
SYMBOL_MAP: Final = {
    **_MARKET,
    "base": "Base of the local symbol.",
    "quote": "Quote of the local symbol.",
    "multiplier": "Units of the asset in one unit of the local base.",
    "canonical_symbol": "The asset.",
    "display_symbol": "Base with multiplier, and quote.",
    "status": "Of open interest: resolved, aggregated or neutral.",
    "reason": "Why it is neutral or aggregated.",
    "market_list_at_ms": "When the market list was fetched, epoch ms.",
    "simulated": "Whether the market list is an emulator's.",
    **{
        f"{dataset}_{suffix}": text.format(dataset=dataset.replace("_", " "))
        for dataset in ("open_interest", "funding_rate", "long_short_ratio", "liquidations")
        for suffix, text in {
            "symbol": "Coinalyze symbol that {dataset} comes from; empty for none.",
            "exchange": "Exchange that {dataset} comes from.",
            "status": "resolved, aggregated or neutral, of {dataset}.",
            "multiplier": "Units of the asset in one unit of that market's base.",
            "unit": "Unit of {dataset} there.",
        }.items()
    },
}
_SOURCE: Final = {
    **_MARKET,
    "coinalyze_symbol": "Coinalyze symbol it comes from; empty for none.",
    "source_exchange": "Exchange it comes from.",
    "status": "resolved (this exchange), aggregated (another market stands in) or neutral (none).",
    "unit": "BASE_ASSET or QUOTE_ASSET, where amounts have a unit.",
    "simulated": "Whether an emulator is behind it.",
    "closed_at_ms": "When the newest bar used had closed, epoch ms; empty where nothing is known.",
}
DERIVATIVES: Final[Mapping[Dataset, Mapping[str, str]]] = {
    "open_interest": {
        **_SOURCE,
        "value": "Open interest at the last close, in unit.",
        "z_score": "(last - mean) / standard deviation of at most 30 closes; empty below 14, or where they are flat.",
        "points": "15-minute closes known of the last 24 hours.",
        "average": "Mean of these closes, in unit.",
        "slope": "Least-squares slope of these closes, unit per bar.",
    },
    "funding_rate": {**_SOURCE, "funding_rate_pct": "Funding rate, percent."},
    "long_short_ratio": {
        **_SOURCE,
        "long_short_ratio": "Long accounts by short accounts.",
        "longs_pct": "Long accounts, percent.",
        "shorts_pct": "Short accounts, percent.",
    },
    "liquidations": {
        **_SOURCE,
        "longs_1h": "Longs liquidated in the hour before closed_at_ms, in unit.",
        "shorts_1h": "Shorts liquidated in the hour before closed_at_ms, in unit.",
        "longs_24h": "Longs liquidated in the 24 hours before closed_at_ms, in unit.",
        "shorts_24h": "Shorts liquidated in the 24 hours before closed_at_ms, in unit.",
    },
}
_SIGNAL: Final = {
    **_MARKET,
    "strategy_name": "The strategy.",
    "bias": "LONG, SHORT or NONE.",
    "action": "LONG, SHORT or WAIT.",
    "score": "0 to 100.",
    "reason": "Why it waits; empty with a setup.",
    "side": "Side of the setup; empty without.",
    "entry": "Price of the setup's entry.",
    "stop_loss": "Price of the setup's stop.",
    "take_profit": "Price of the setup's target.",
    "rr": "Reward by risk; 0 without a setup.",
}


def signal_columns(strategy: Strategy) -> dict[str, str]:
    """Return the columns of a strategy's signal table with their meaning."""
    return {
        **_SIGNAL,
        **{f"part_{part}": f"Points of the score from {part.replace('_', ' ')}." for part in strategy.parts},
        **{f"filter_{name}": f"Whether the gate {name} was passed; empty if not judged." for name in strategy.filters},
    }


def described_schema(descriptions: Mapping[str, str]) -> dict[str, dg.TableMetadataValue | dg.TableSchemaMetadataValue]:
    """Return the metadata that shows these columns on an asset before it is ever materialized."""
    columns = [dg.TableColumn(name, description=text) for name, text in descriptions.items()]
    return {"dagster/column_schema": dg.MetadataValue.table_schema(dg.TableSchema(columns))}


def table_metadata(table: pd.DataFrame, descriptions: Mapping[str, str]) -> dict[str, dg.MetadataValue]:
    """Return the metadata of a materialized table: its rows, and its columns with types and meaning."""
    columns = [
        dg.TableColumn(str(name), type=str(dtype), description=descriptions.get(str(name)))
        for name, dtype in table.dtypes.items()
    ]
    return {
        "dagster/row_count": dg.MetadataValue.int(len(table)),
        "dagster/column_schema": dg.MetadataValue.table_schema(dg.TableSchema(columns)),
    }


FEATURE_COLUMNS: Final[Mapping[str, str]] = FEATURES
