"""Describe the columns of each table, as schemas and lineage that Dagster shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import dagster as dg

from quant_assets.derivatives.datasets import DATASETS, ENTRIES, Dataset
from quant_assets.evaluation.track_record import COLUMNS as RECORD_COLUMNS
from quant_assets.evaluation.trade_table import COLUMNS as TRADE_COLUMNS
from quant_assets.evaluation.trade_table import PART_PREFIX
from quant_assets.signals import CANDLE_DTYPES, DTYPES, OWN_PREFIX, Strategy, describe_part, title_of
from quant_assets.signals import COLUMNS as FEATURES

#: Name → (dtype, description).
Columns = Mapping[str, tuple[str, str]]

_MARKET: Final[Columns] = {
    "exchange": ("str", "Exchange, as in the candle file's name."),
    "symbol": ("str", "Local symbol, as in the file's name."),
}

CANDLES: Final[Columns] = {
    **{name: ("category", text) for name, (_, text) in _MARKET.items()},
    "timeframe": ("category", "15m or 4h."),
    "time_ms": ("int64", "Open of the bar, epoch ms."),
    "open": ("float64", "Price, in quote."),
    "high": ("float64", "Price, in quote."),
    "low": ("float64", "Price, in quote."),
    "close": ("float64", "Price, in quote."),
    "volume": ("float64", "Volume, in the exchange's unit."),
}
EXCHANGE_CANDLES: Final[Columns] = {
    "symbol": ("category", "The exchange's own id."),
    **{name: CANDLES[name] for name in ("time_ms", "open", "high", "low", "close")},
    "volume": ("float64", "Volume, in base units."),
}
CANDLE_FILES: Final[Columns] = {
    "file": ("str", "Name in the candle folder."),
    **_MARKET,
    "timeframe": ("str", "As in the file's name."),
    "size": ("int64", "Bytes."),
    "modified_ns": ("int64", "Last change, epoch ns."),
    "inode": ("int64", "The file's identity in its file system."),
    "status": ("str", "read, skipped, or unused (a timeframe that no strategy reads)."),
    "reason": ("str", "Why it was skipped."),
    "bars": ("int64", "Bars kept."),
    "dropped": ("int64", "Invalid bars that were dropped."),
    "held_back": ("int64", "Bars not read because they had not ended when the file was written."),
    "note": ("str", "What was dropped or reordered, and why."),
    "gaps": ("int64", "Gaps inside, where bars are missing."),
    "first_ms": ("float64", "Open of the first bar, epoch ms."),
    "last_ms": ("float64", "Open of the last bar, epoch ms."),
    "simulated": ("bool", "Whether the folder marks its candles as simulated."),
}
EXCHANGE_MARKETS: Final[Columns] = {
    "exchange": ("str", "Exchange, as in candle files' names."),
    "symbol": ("str", "The exchange's own id."),
    "base": ("str", "Base as the exchange names it."),
    "quote": ("str", "Quote as the exchange names it."),
    "settle": ("str", "Asset in which margin and profit are paid."),
    "asset": ("str", "Base without its multiplier."),
    "multiplier": ("int64", "Units of the asset in one unit of the base."),
    "contract_size": ("float64", "Base units in a contract; 1 where volumes are in base units."),
    "tick_size": ("float64", "Smallest step of the price."),
    "is_perpetual": ("bool", "Whether the contract has no expiry."),
    "is_linear": ("bool", "Whether margin is not paid in the base."),
    "is_active": ("bool", "Whether it is traded."),
    "listed_ms": ("float64", "When it was listed, epoch ms."),
    "quote_volume_24h": ("float64", "Turnover of 24 hours, in quote."),
    "last_price": ("float64", "In quote."),
    "selected": ("bool", "Whether its candles are fetched."),
    "reason": ("str", "Why not."),
    "fetched_at_ms": ("float64", "When the exchange's list was fetched, epoch ms."),
    "selected_since_ms": ("float64", "When it was first selected, epoch ms; empty if never."),
}
MARKET_LIST: Final[Columns] = {
    "symbol": ("str", "Symbol at the provider."),
    "exchange": ("str", "Exchange code."),
    "exchange_name": ("str", "Exchange name."),
    "symbol_on_exchange": ("str", "The market's name on the exchange."),
    "base_asset": ("str", "Base as listed, with its multiplier."),
    "quote_asset": ("str", "Quote as listed."),
    "is_perpetual": ("bool", "Whether the market never expires."),
    "margined": ("str", "STABLE or COIN."),
    "expire_at_ms": ("float64", "Expiry or delisting, epoch ms; empty for never."),
    "oi_lq_vol_denominated_in": ("str", "Unit of open interest, liquidations and volume: BASE_ASSET or QUOTE_ASSET."),
    "has_long_short_ratio_data": ("bool", "Whether the long/short ratio is served."),
    "has_ohlcv_data": ("bool", "Whether candles are served."),
    "has_buy_sell_data": ("bool", "Whether buy volume is served."),
    "fetched_at_ms": ("int64", "When the list was fetched, epoch ms."),
    "exchange_codes": ("str", "Codes of all exchanges in the same answer, as JSON."),
    "provider": ("str", "Host that answered."),
    "simulated": ("bool", "Whether an emulator answered."),
}
SYMBOL_MAP: Final[Columns] = {
    **_MARKET,
    "base": ("str", "Base of the local symbol."),
    "quote": ("str", "Quote of the local symbol."),
    "multiplier": ("int64", "Units of the asset in one unit of the local base."),
    "canonical_symbol": ("str", "The asset."),
    "display_symbol": ("str", "Base with multiplier, and quote."),
    "status": ("str", "Of open interest: resolved, aggregated or neutral."),
    "reason": ("str", "Why it is neutral or aggregated."),
    "market_list_at_ms": ("float64", "When the market list was fetched, epoch ms."),
    "simulated": ("bool", "Whether the market list comes from an emulator."),
    **{
        f"{dataset}_{suffix}": (dtype, text.format(dataset=dataset.replace("_", " ")))
        for dataset in DATASETS
        for suffix, (dtype, text) in {
            "symbol": ("str", "Symbol at its provider that {dataset} comes from; empty for none."),
            "exchange": ("str", "Exchange that {dataset} comes from."),
            "status": ("str", "resolved, aggregated or neutral, of {dataset}."),
            "multiplier": ("int64", "Units of the asset in one unit of that market's base."),
            "unit": ("str", "Unit of {dataset} there."),
        }.items()
    },
}
_SOURCE: Final[Columns] = {
    **_MARKET,
    "coinalyze_symbol": ("str", "Symbol at the provider that the data come from; empty for none."),
    "provider": ("str", "Provider that the data come from; empty for none."),
    "source_exchange": ("str", "Exchange that the data come from."),
    "status": ("str", "resolved (this exchange), aggregated (another market is used) or neutral (none)."),
    "unit": ("str", "BASE_ASSET or QUOTE_ASSET, where amounts have a unit."),
    "simulated": ("bool", "Whether the data come from an emulator."),
    "closed_at_ms": ("float64", "When the newest bar used had closed, epoch ms; empty where nothing is known."),
}
DERIVATIVES: Final[Mapping[Dataset, Columns]] = {
    spec.name: {**_SOURCE, **{value.name: (value.dtype, value.description) for value in spec.values}}
    for spec in ENTRIES
}
_SIGNAL: Final[Columns] = {
    **_MARKET,
    "strategy_name": ("str", "The strategy."),
    "bias": ("str", "LONG, SHORT or NONE."),
    "action": ("str", "LONG, SHORT or WAIT."),
    "score": ("float64", "0 to 100."),
    "reason": ("str", "Why it waits; empty with a setup."),
    "reason_value": ("float64", "The measured value, where the reason is a threshold."),
    "reason_bound": ("float64", "The threshold that was missed, where the reason is one."),
    "side": ("str", "Side of the setup; empty without."),
    "entry": ("float64", "Price of the setup's entry."),
    "stop_loss": ("float64", "Price of the setup's stop."),
    "take_profit": ("float64", "Price of the setup's target."),
    "rr": ("float64", "Reward by risk; 0 without a setup."),
}


FEATURE_COLUMNS: Final[Columns] = {name: (DTYPES[name], text) for name, text in FEATURES.items()}
CANDLE_FEATURE_COLUMNS: Final[Columns] = {name: FEATURE_COLUMNS[name] for name in CANDLE_DTYPES}
WATCHLIST: Final[Columns] = {
    **_MARKET,
    "setup": ("bool", "Whether any strategy has a setup with neutral derivatives."),
    "near": ("bool", "Whether it has a setup, or is within reach of one."),
    "volume": ("float64", "Close × volume over 24 hours, 0 if unknown."),
    "rank": ("int64", "Place in the order, 0 is first: by setup, near and volume."),
}


TRACK_RECORD: Final[Columns] = RECORD_COLUMNS


def signal_columns(strategy: Strategy, stored: Iterable[str] = ()) -> Columns:
    """Return the columns of a strategy's signal table, described with its parameters.

    `stored` are the columns of a table, which may have own indicators that the strategy does not declare.
    """
    texts = strategy.explanations()
    own = {f"{OWN_PREFIX}{name}": indicator.text for name, indicator in strategy.own_indicators.items()}
    own |= {name: "" for name in stored if name.startswith(OWN_PREFIX) and name not in own}
    return {
        **_SIGNAL,
        **{f"part_{part}": ("float64", describe_part(strategy, part)) for part in strategy.parts},
        **{f"filter_{name}": ("object", _filter_text(name, texts.get(name, ""))) for name in strategy.filters},
        **{name: ("float64", f"Own indicator, empty if unknown. {text}".rstrip()) for name, text in own.items()},
    }


def trade_columns(strategies: Iterable[Strategy]) -> Columns:
    """Return the columns of the trades of these strategies."""
    parts = {part: describe_part(strategy, part) for strategy in strategies for part in strategy.parts}
    return {**TRADE_COLUMNS, **{f"{PART_PREFIX}{part}": ("float64", text) for part, text in parts.items()}}


def schema(columns: Columns) -> dict[str, dg.TableSchemaMetadataValue]:
    """Return the asset metadata with the schema of these columns."""
    described = [dg.TableColumn(name, type=dtype, description=text) for name, (dtype, text) in columns.items()]
    return {"dagster/column_schema": dg.MetadataValue.table_schema(dg.TableSchema(described))}


def lineage(strategy: Strategy, table: Columns | None = None) -> dict[str, dg.TableColumnLineageMetadataValue]:
    """Return the asset metadata that shows from which features each column of a signal table is made.

    An own indicator is made from candles, and so is what reads it. `table` has the columns, by default those declared.
    """
    reads = strategy.reads
    score = [name for part in strategy.parts for name in reads.get(part, ())]
    everything = ["unusable", *(name for names in reads.values() for name in names)]
    made_from = {
        "exchange": ["exchange"],
        "symbol": ["symbol"],
        "bias": reads.get("bias", ()),
        "action": everything,
        "score": score,
        **dict.fromkeys(("reason", "reason_value", "reason_bound"), everything),
        "side": reads.get("bias", ()),
        **{name: reads.get("setup", ()) for name in ("entry", "stop_loss", "take_profit", "rr")},
        **{f"part_{part}": reads.get(part, ()) for part in strategy.parts},
        **{f"filter_{name}": reads.get(name, ()) for name in strategy.filters},
    }
    own = [name for name in (table or signal_columns(strategy)) if name.startswith(OWN_PREFIX)]
    features, candles = dg.AssetKey("features"), dg.AssetKey("candles")
    bars = [dg.TableColumnDep(candles, name) for name in ("open", "high", "low", "close", "volume")]

    def dependencies_of(names: Iterable[str]) -> list[dg.TableColumnDep]:
        found = [dg.TableColumnDep(features, name) for name in dict.fromkeys(names) if not name.startswith(OWN_PREFIX)]
        return found + (bars if any(name.startswith(OWN_PREFIX) for name in names) else [])

    made_from |= {name: [name] for name in own}
    dependencies = {column: dependencies_of(list(names)) for column, names in made_from.items() if names}
    return {"dagster/column_lineage": dg.MetadataValue.column_lineage(dg.TableColumnLineage(dependencies))}


def _filter_text(name: str, condition: str) -> str:
    return f"Whether the gate {title_of(name)} was passed; empty if not judged. {condition}".rstrip()
