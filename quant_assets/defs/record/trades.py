"""The asset `trades`: the trades of published signals, brought up to date at each scan."""

import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

import dagster as dg
import pandas as pd

from quant_assets.common.clock import Clock
from quant_assets.common.windows import Window
from quant_assets.defs.record.funding import rates_of_trades
from quant_assets.defs.record.older_bars import with_older_bars
from quant_assets.defs.record.trade_checks import CHECK_SPECS, check_results
from quant_assets.derivatives.datasets import DATASETS
from quant_assets.evaluation import Prices, TradeRules, price_bars, selected_since
from quant_assets.evaluation.live import (
    LiveRecord,
    Stored,
    compare_with_replay,
    load_live_record,
    new_publications,
    newly_settled,
    save_live_record,
    stored_setups,
    update_live_record,
)
from quant_assets.evaluation.trade_table import empty_trades
from quant_assets.feed import first_published_ms
from quant_assets.orchestration import columns
from quant_assets.orchestration.conditions import FOLLOW_SIGNALS
from quant_assets.orchestration.exchange_source import ExchangeSource
from quant_assets.orchestration.pools import RECORD
from quant_assets.orchestration.resources import CostsFile, MarketRules, Providers, Retention, Strategies
from quant_assets.orchestration.run_tags import PARTITION
from quant_assets.signals import Strategy
from quant_assets.storage.lake import Lake

DAY_MS: Final = 86_400_000


def trades_asset(strategies: Sequence[Strategy]) -> dg.AssetsDefinition:
    """Return the asset `trades` over the signals of these strategies."""
    parts = list(dict.fromkeys(part for strategy in strategies for part in strategy.parts))

    @dg.asset(
        name="trades",
        group_name="record",
        kinds={"python", "parquet"},
        owners=["team:quant"],
        # Without a mapping Dagster would look up the tables of all windows at each scan, which takes two seconds.
        deps=[
            dg.AssetDep(dg.AssetKey(["signals", strategy.key]), partition_mapping=dg.LastPartitionMapping())
            for strategy in strategies
        ],
        automation_condition=FOLLOW_SIGNALS,
        pool=RECORD,
        description=(
            "All trades of published signals. A trade follows the setup that the first feed of its window had, to its "
            "stop, target or time limit. What is final is never changed. If this fails, the feed is published without "
            "a track record, and the check `up_to_date` says why."
        ),
        metadata=columns.schema(columns.trade_columns(strategies)),
        check_specs=list(CHECK_SPECS.values()),
    )
    def trades(
        context: dg.AssetExecutionContext,
        candles: pd.DataFrame,
        strategies: dg.ResourceParam[Strategies],
        costs_file: CostsFile,
        providers: Providers,
        exchange_source: ExchangeSource,
        market_rules: MarketRules,
        retention: Retention,
        lake: dg.ResourceParam[Lake],
        clock: dg.ResourceParam[Clock],
    ) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        """Follow what was published since the last scan, and the trades that are open."""
        started = time.perf_counter()
        before = after = None
        metadata: dict[str, Any] = {}
        problem = ""
        compared = empty_trades()
        try:
            before = load_live_record(lake)
            loaded = strategies.load()
            rules = {found.name: TradeRules.of(found) for found in loaded.values()}
            bars = price_bars(with_older_bars(candles, before, exchange_source.store()))
            prices = Prices(bars, costs=costs_file.load())
            now_ms = int(prices.newest_close_ms.max(initial=0))
            first_ms = int(bars.bars.time_ms.min(initial=now_ms))
            new, left = new_publications(
                lake, before.windows, rules, list(loaded), lambda window: first_published_ms(lake, window), first_ms
            )
            if not left and (tag := context.run.tags.get(PARTITION)):
                window = Window.of_key(tag)
                written_ms = int(clock.now().timestamp() * 1000)
                new = new.with_next(stored_setups(lake, window, rules, list(loaded), written_ms))
            if markets := new.markets:
                of_exchanges = lake.read_undamaged(["exchange_markets"])
                new = new.with_hindsight(selected_since(of_exchanges, market_rules.load(), markets))
            rates_of = rates_of_trades(providers, market_rules, lake, now_ms)
            after = update_live_record(before, new, prices, rates_of, now_ms)
            after = after.without_trades_before(now_ms - int(retention.load().trades_days * DAY_MS))
            after = after.with_parts(parts)
            # Stored before the comparison: if that fails, nothing of the update is lost.
            save_live_record(lake, after)
            compared = compare_with_replay(
                newly_settled(before, after), candles, prices, list(loaded.values()), after.windows, _stored(lake)
            )
            if len(compared):
                after = after.with_replay(compared)
                save_live_record(lake, after)
            metadata = {"windows_followed": len(new.windows), "windows_left": left}
        except Exception as error:  # whatever fails here must not keep the feed from being published
            problem = f"{type(error).__name__}: {error}"
            context.log.exception("the trades are as they were before")
        metadata |= _counts(before if after is None else after, before)
        seconds = time.perf_counter() - started
        yield dg.MaterializeResult(metadata={**metadata, "problem": problem, "seconds": seconds})
        yield from check_results(before, after, problem, compared)

    return trades


def _stored(lake: Lake) -> Stored:
    """Return how to read what is stored of a window."""
    symbol_map = lake.read_undamaged(["symbol_map"])

    def derivatives(window: Window) -> dict[str, pd.DataFrame]:
        tables = {dataset: lake.read_undamaged([dataset], window.key) for dataset in DATASETS}
        return {dataset: table for dataset, table in tables.items() if table is not None}

    def candle_features(window: Window) -> pd.DataFrame | None:
        return lake.read_undamaged(["candle_features"], window.key)

    return Stored(derivatives, candle_features, pd.DataFrame() if symbol_map is None else symbol_map)


def _counts(record: LiveRecord | None, before: LiveRecord | None) -> dict[str, int]:
    """Return the numbers of trades; none if the table cannot be read."""
    if record is None:
        return {}
    trades = record.trades
    outcomes = trades["outcome"].value_counts()
    return {
        "dagster/row_count": len(trades),
        "pending": int(outcomes.get("pending", 0)),
        "open": int(outcomes.get("open", 0)),
        "mature": int(trades["mature"].sum()),
        "final": int(trades["final"].sum()),
        "settled": int(trades["final"].sum() - (0 if before is None else before.trades["final"].sum())),
        "late": int((trades["source"] == "late").sum()),
    }
