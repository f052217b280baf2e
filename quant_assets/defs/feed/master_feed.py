"""The stage `feed`: every signal of a window in one document, published for whoever reads it."""

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import orjson
import pandas as pd

from quant_assets.common.clock import Clock
from quant_assets.common.windows import Window
from quant_assets.defs.feed import newest_window
from quant_assets.defs.feed.summary import summary
from quant_assets.derivatives.store import StoreError
from quant_assets.feed import Publication, StoredFeed, build_feed, feed_problems, publish
from quant_assets.orchestration.checks import Evaluated, WindowResult, window_check, window_results
from quant_assets.orchestration.conditions import FOLLOWS_ITS_INPUTS, FRESH_FOR_A_WINDOW
from quant_assets.orchestration.partitions import FOUR_HOURS, WINDOWS, Tables, windows_of
from quant_assets.orchestration.pools import ANALYSIS
from quant_assets.orchestration.resources import Coinalyze, FeedFile
from quant_assets.signals import STALE_CANDLES, Strategy, stale_candles
from quant_assets.storage.lake import Lake, LakeError

#: Where another run is writing the same window, a moment later everything fits together again.
SETTLING_SECONDS = 2.0


CONTRACT = window_check(
    "master_feed",
    "contract",
    "The feed is valid by its JSON Schema, with no NaN, and signals = markets x strategies. One that is not is neither "
    "kept nor published.",
    blocking=True,
)


def feed_asset(strategies: Sequence[Strategy], not_loaded: Sequence[str] = ()) -> dg.AssetsDefinition:
    """Return the asset `master_feed` over the signal tables of these strategies.

    `not_loaded` names strategies that are installed, but that the code location does not know yet.
    """

    @dg.asset(
        name="master_feed",
        group_name="feed",
        kinds={"python", "json"},
        owners=["team:quant"],
        partitions_def=WINDOWS,
        backfill_policy=FOUR_HOURS,
        freshness_policy=FRESH_FOR_A_WINDOW,
        automation_condition=FOLLOWS_ITS_INPUTS,
        pool=ANALYSIS,
        io_manager_key="document_io_manager",
        ins={f"signals_{strategy.key}": dg.AssetIn(key=["signals", strategy.key]) for strategy in strategies},
        description=(
            "One JSON object with a signal for every market and strategy, best first, and the window's statistics. "
            "Held against its schema, then published as `master_feed.json`, which only the newest window replaces."
        ),
        check_specs=[CONTRACT, newest_window.CHECK_SPEC],
    )
    def master_feed(
        context: dg.AssetExecutionContext,
        candle_files: pd.DataFrame,
        features: Tables,
        coinalyze: Coinalyze,
        feed_file: FeedFile,
        lake: dg.ResourceParam[Lake],
        clock: dg.ResourceParam[Clock],
        **signals: Tables,
    ) -> Iterator[dg.Output[dict[str, bytes]] | Evaluated]:
        chosen: dict[str, StoredFeed] = {}
        contract: dict[str, WindowResult] = {}
        broken: list[str] = []
        accounts: dict[str, dict[str, Any]] = {}
        windows = windows_of(context)
        newest = windows[-1]
        path = Path(feed_file.path)
        if not path.is_file():
            _refuse_stale_candles(features[newest.key], newest)
        if not_loaded:
            context.log.warning(
                "the feed lacks %s, installed since the code location was loaded; reload it", ", ".join(not_loaded)
            )
        for window in windows:
            started, written_at = time.perf_counter(), clock.now()
            standing = _stored_feed(context, lake, window)
            tables = {strategy: signals[f"signals_{strategy.key}"][window.key] for strategy in strategies}
            _require_same_markets(features[window.key], tables.values())
            feed = build_feed(
                features[window.key],
                tables,
                candle_files,
                window,
                api=_account_of_refresh(context, coinalyze, window),
                written_at=written_at,
                published_at_ms=None if standing is None else standing.published_at_ms,
            )
            made = StoredFeed(
                orjson.dumps(feed), window, feed["stats"]["candles"]["newest_close_ms"], feed["published_at_ms"]
            )
            problems = feed_problems(made.content)
            contract[window.key] = WindowResult(not problems, {"problems": dg.MetadataValue.json(problems)})
            broken += [f"{window.key}: {problem}" for problem in problems]
            stays = standing is not None and standing.has_newer_candles(made)
            chosen[window.key] = standing if standing is not None and stays else made
            accounts[window.key] = {
                **_account(feed, not_loaded),
                "published": False,
                "replaces_stored": not stays,
                "seconds": time.perf_counter() - started,
            }
        if broken:
            yield from window_results(context, CONTRACT, contract, dg.AssetCheckSeverity.ERROR)
            raise dg.Failure(f"the feed breaks its contract and is not published: {broken[0]}", allow_retries=False)
        publication = publish(chosen[newest.key], path, clock.now())
        if not accounts[newest.key]["replaces_stored"]:
            publication = Publication.NEWER_CANDLES
        accounts[newest.key] |= {
            "published": publication is Publication.PUBLISHED,
            "publication": str(publication),
        }
        for key, account in accounts.items():
            context.add_asset_metadata(account, partition_key=key)
        yield dg.Output({key: feed.content for key, feed in chosen.items()})
        yield from window_results(context, CONTRACT, contract, dg.AssetCheckSeverity.ERROR)
        yield from newest_window.check_results(context, lake, clock.now())

    return master_feed


def _require_same_markets(features: pd.DataFrame, tables: Iterable[pd.DataFrame]) -> None:
    """Try again in a moment where features and signals are not of the same markets."""
    markets = ["exchange", "symbol"]
    if not all(table[markets].equals(features[markets]) for table in tables):
        raise dg.RetryRequested(max_retries=3, seconds_to_wait=SETTLING_SECONDS)


def _refuse_stale_candles(features: pd.DataFrame, window: Window) -> None:
    """Raise Failure where no candle is as new as the window: a first feed of nothing but WAIT helps nobody."""
    found = stale_candles(features, window)
    if found is not None:
        metadata = {"error": STALE_CANDLES.value, "as_of": found.as_of}
        raise dg.Failure(f"{found.message}; nothing was published", metadata=metadata, allow_retries=False)


def _stored_feed(context: dg.AssetExecutionContext, lake: Lake, window: Window) -> StoredFeed | None:
    """Return the stored feed of a window; None where there is none, or it is damaged."""
    try:
        content = lake.read_document(["master_feed"], window.key)
    except LakeError as error:
        context.log.warning("%s; it is written anew", error)
        return None
    return None if content is None else StoredFeed.of(content)


def _account_of_refresh(
    context: dg.AssetExecutionContext, coinalyze: Coinalyze, window: Window
) -> dict[str, Any] | None:
    """Return what the window's last refresh had to tell, None where there was none."""
    try:
        with coinalyze.store() as store:
            report = store.report(window.key)
    except StoreError as error:
        context.log.warning("the account of the refresh is missing: %s", error)
        return None
    account: dict[str, Any] | None = None if report is None else orjson.loads(report)
    return account


def _account(feed: dict[str, Any], not_loaded: Sequence[str]) -> dict[str, Any]:
    """Return the metadata of a feed."""
    stats = feed["stats"]
    by_strategy: dict[str, int] = {
        f"{name}: {action}": 0 for name in stats["strategies"] for action in ("LONG", "SHORT", "WAIT")
    }
    for entry in feed["signals"]:
        by_strategy[f"{entry['strategy_name']}: {entry['action']}"] += 1
    return {
        "summary": dg.MetadataValue.md(summary(feed, not_loaded)),
        **({"strategies_not_loaded": dg.MetadataValue.json(list(not_loaded))} if not_loaded else {}),
        "dagster/row_count": stats["signals"],
        "markets": stats["markets"],
        **stats["actions"],
        **by_strategy,
        **stats["resolution"],
        "coverage": stats["freshness"]["open_interest"]["fresh"] / max(stats["markets"], 1),
        "calls": stats["api"]["calls"],
        "skipped_files": len(stats["skipped"]),
        "simulated": feed["simulated"],
    }
