"""The stage `exchanges`: the markets of the exchanges themselves, and their candles."""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg
import pandas as pd
from pydantic import Field

from quant_assets.candles.bar_gaps import BarGaps
from quant_assets.candles.exchanges.config import ExchangesConfig, ExchangesConfigError
from quant_assets.candles.exchanges.fetch import FetchReport
from quant_assets.candles.exchanges.refresh import TIMEFRAMES
from quant_assets.common.clock import Clock
from quant_assets.common.progress import Progress
from quant_assets.common.windows import Window
from quant_assets.orchestration import columns
from quant_assets.orchestration.exchange_fetches import FetchLimits, fetch_candles, fetch_markets
from quant_assets.orchestration.exchange_source import ExchangeSource
from quant_assets.orchestration.job_names import FETCH
from quant_assets.orchestration.pools import EXCHANGES
from quant_assets.orchestration.project import Project
from quant_assets.orchestration.resources import MarketRules
from quant_assets.storage.lake import Lake


class ChoiceConfig(dg.Config):
    """What a run fetches in place of what exchanges.toml says; empty or 0 for what it says."""

    exchanges: list[str] = Field(default_factory=list)
    top: int = 0


class FetchConfig(ChoiceConfig):
    """Limits of a run that fetches candles."""

    history_days: float = 0.0
    timeframes: list[str] = Field(default_factory=lambda: list(TIMEFRAMES))
    max_wait_seconds: float = Field(default=600.0, description="After it, what is missing waits for the next run.")


def _chosen(source: ExchangeSource, config: ChoiceConfig) -> ExchangesConfig:
    """Return the configuration of a run. Raise dg.Failure for an invalid file."""
    try:
        found = source.config()
    except ExchangesConfigError as error:
        raise dg.Failure(str(error), metadata={"error": type(error).__name__}, allow_retries=False) from None
    changes: dict[str, Any] = {}
    if config.exchanges:
        changes["exchanges"] = tuple(config.exchanges)
    if config.top:
        changes["top"] = config.top
        changes["overrides"] = {
            name: choice.model_copy(update={"top": config.top}) for name, choice in found.overrides.items()
        }
    return found.model_copy(update=changes)


@dg.asset(
    group_name="exchanges",
    kinds={"python", "ccxt", "parquet"},
    owners=["team:quant"],
    pool=EXCHANGES,
    description=(
        "Every contract of each exchange of exchanges.toml: names, sizes, turnover, whether its candles are fetched, "
        "and why not. An exchange that fails, or has lost more than half of its last list, keeps the last one."
    ),
    metadata=columns.schema(columns.EXCHANGE_MARKETS),
    check_specs=[
        dg.AssetCheckSpec(
            "lists_fetched",
            asset="exchange_markets",
            description="Every exchange sent a list that can be right; the others keep the last one.",
        )
    ],
)
def exchange_markets(
    config: ChoiceConfig,
    exchange_source: ExchangeSource,
    market_rules: MarketRules,
    lake: dg.ResourceParam[Lake],
    clock: dg.ResourceParam[Clock],
) -> Iterator[dg.Output[pd.DataFrame] | dg.AssetCheckResult]:
    """Fetch the market lists of all exchanges, and choose the markets to fetch."""
    chosen = _chosen(exchange_source, config)
    last = lake.read_undamaged(["exchange_markets"])
    found = fetch_markets(exchange_source, chosen, market_rules.load(), last, clock)
    table = found.table
    yield dg.Output(
        table,
        metadata={
            "dagster/row_count": len(table),
            "selected": int(table["selected"].sum()),
            "by_exchange": dg.MetadataValue.json(
                {str(name): int(rows["selected"].sum()) for name, rows in table.groupby("exchange")}
            ),
            "problems": dg.MetadataValue.json(found.problems),
        },
    )
    yield dg.AssetCheckResult(
        asset_key="exchange_markets",
        check_name="lists_fetched",
        passed=not found.problems,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"problems": dg.MetadataValue.json(found.problems)},
    )


@dg.asset(
    group_name="exchanges",
    kinds={"python", "ccxt", "parquet"},
    owners=["team:quant"],
    pool=EXCHANGES,
    description=(
        "The closed 15m and 4h bars of the selected markets, in the bar store by exchange, timeframe and day or month. "
        "The newest two stored bars are fetched again with each new one, since exchanges correct late. A gap is asked "
        "for once more, and then recorded; nothing is filled."
    ),
    metadata=columns.schema(columns.EXCHANGE_CANDLES),
    check_specs=[
        dg.AssetCheckSpec(name, asset="exchange_candles", description=text)
        for name, text in (
            ("exchanges_answered", "Every exchange was reached, and all that was due was fetched in time."),
            ("bars_valid", "No exchange sent a bar that cannot be right."),
            ("clock_agrees", "The local clock and those of the exchanges differ by less than a minute."),
        )
    ],
)
def exchange_candles(
    config: FetchConfig,
    exchange_markets: pd.DataFrame,
    exchange_source: ExchangeSource,
    lake: dg.ResourceParam[Lake],
    clock: dg.ResourceParam[Clock],
    progress: dg.ResourceParam[Progress],
) -> Iterator[dg.MaterializeResult[Any]]:
    """Fetch the bars that are missing, from all exchanges at once."""
    started = clock.monotonic()
    limits = FetchLimits(config.history_days, config.timeframes, started + config.max_wait_seconds)
    order = _watchlist_order(lake, Window.last_complete(clock.now()))
    chosen = _chosen(exchange_source, config)
    reports = fetch_candles(exchange_source, chosen, exchange_markets, order, limits, clock, progress)
    yield _result(reports, BarGaps(exchange_source.store()), clock.monotonic() - started)


def _watchlist_order(lake: Lake, window: Window) -> dict[tuple[str, str], int]:
    """Return the place of each market in the newest stored watchlist."""
    newest = lake.newest_undamaged(["watchlist"], window.key)
    if not len(newest):
        return {}
    ranked = newest.sort_values("rank")
    return {key: place for place, key in enumerate(zip(ranked["exchange"], ranked["symbol"], strict=True))}


def _result(reports: Sequence[FetchReport], gaps: BarGaps, seconds: float) -> dg.MaterializeResult[Any]:
    """Return the materialization with its numbers and checks."""
    problems = {report.exchange: report.problem for report in reports if report.problem}
    failed = {f"{report.exchange}:{symbol}": reason for report in reports for symbol, reason in report.failed.items()}
    refused = {report.exchange: dict(report.unexpected) for report in reports if report.unexpected}
    offsets = {report.exchange: report.usage.offset_seconds for report in reports if report.is_clock_off}
    summary = [
        {
            "exchange": report.exchange,
            "requested": report.requested,
            "done": report.done,
            "new": report.stored.new,
            "revised": report.stored.revised,
            "refused": sum(report.unexpected.values()),
            "failed": len(report.failed),
            "late": len(report.late),
            "gaps": sum(len(gaps.between_bars(report.exchange, timeframe)) for timeframe in TIMEFRAMES),
            "requests": report.usage.requests,
            "weight": report.usage.weight,
            "rate_limited": report.usage.rate_limited,
            "problem": report.problem,
        }
        for report in reports
    ]
    return dg.MaterializeResult(
        metadata={
            "new_bars": sum(report.stored.new for report in reports),
            "revised_bars": sum(report.stored.revised for report in reports),
            "requests": sum(report.usage.requests for report in reports),
            "rate_limited": sum(report.usage.rate_limited for report in reports),
            "late_markets": sum(len(report.late) for report in reports),
            "failed_markets": len(failed),
            "seconds": seconds,
            "exchanges": dg.MetadataValue.json(summary),
        },
        check_results=[
            _check("exchanges_answered", {**problems, **failed}),
            _check("bars_valid", refused),
            _check("clock_agrees", offsets),
        ],
    )


def _check(name: str, faults: dict[str, Any]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=name,
        passed=not faults,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"faults": dg.MetadataValue.json(dict(list(faults.items())[:20])), "count": len(faults)},
    )


fetch_job = dg.define_asset_job(
    FETCH,
    selection=dg.AssetSelection.groups("exchanges"),
    description="Fetch the market lists and candles of the exchanges in exchanges.toml.",
)


def build(_: Project) -> dg.Definitions:
    """Return the assets that fetch from exchanges, and their job."""
    return dg.Definitions(assets=dg.with_source_code_references([exchange_markets, exchange_candles]), jobs=[fetch_job])
