"""The asset `master_feed`: every signal of a window in one document, published as a file."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import dagster as dg
import orjson
import pandas as pd

from quant_assets.common.clock import Clock
from quant_assets.common.files import WriteError
from quant_assets.common.windows import Window
from quant_assets.defs.feed import newest_window
from quant_assets.defs.feed.summary import summary
from quant_assets.derivatives.store import StoreError
from quant_assets.evaluation import TradeRules
from quant_assets.evaluation.live import published_setups, read_published, write_published
from quant_assets.feed import Publication, StoredFeed, build_feed, feed_problems, publish
from quant_assets.orchestration.checks import CheckEvent, WindowCheckResult, window_check_results, window_check_spec
from quant_assets.orchestration.conditions import FOLLOW_INPUTS, WINDOW_FRESHNESS
from quant_assets.orchestration.io_managers import OPTIONAL, WINDOW_DOCUMENTS
from quant_assets.orchestration.partitions import BACKFILL_POLICY, WINDOWS, Tables, windows_of
from quant_assets.orchestration.resources import FeedFile, Providers, Strategies
from quant_assets.orchestration.window_leases import WindowLeases
from quant_assets.signals import STALE_CANDLES, FeaturesCache, ParametersError, Strategy, stale_candles
from quant_assets.storage.lake import Lake, LakeError, compress_document

#: The time to wait if another run is writing the same window.
RETRY_AFTER_SECONDS = 2.0


CONTRACT = window_check_spec(
    "master_feed",
    "contract",
    "The feed is valid by its JSON Schema, has no NaN, and signals = markets x strategies. An invalid feed is neither "
    "stored nor published.",
    blocking=True,
)


def feed_asset(registered: Sequence[Strategy], not_loaded: Sequence[str] = ()) -> dg.AssetsDefinition:
    """Return the asset `master_feed` over the signal tables of these strategies.

    `not_loaded` names strategies that were installed after the code location was loaded.
    """

    @dg.asset(
        name="master_feed",
        group_name="feed",
        kinds={"python", "json"},
        owners=["team:quant"],
        partitions_def=WINDOWS,
        backfill_policy=BACKFILL_POLICY,
        freshness_policy=WINDOW_FRESHNESS,
        automation_condition=FOLLOW_INPUTS,
        io_manager_key=WINDOW_DOCUMENTS,
        ins={
            "track_record": dg.AssetIn(metadata=OPTIONAL),
            **{f"signals_{strategy.key}": dg.AssetIn(key=["signals", strategy.key]) for strategy in registered},
        },
        description=(
            "One JSON object with a signal for every market and strategy, best first, and the window's statistics. "
            "Validated by its schema, then published as `master_feed.json`, which only the newest window replaces."
        ),
        check_specs=[CONTRACT, newest_window.CHECK_SPEC],
    )
    def master_feed(
        context: dg.AssetExecutionContext,
        candle_files: pd.DataFrame,
        features: Tables,
        track_record: Tables,
        strategies: dg.ResourceParam[Strategies],
        providers: Providers,
        feed_file: FeedFile,
        lake: dg.ResourceParam[Lake],
        clock: dg.ResourceParam[Clock],
        features_cache: dg.ResourceParam[FeaturesCache],
        run_leases: dg.ResourceParam[WindowLeases],
        **signals: Tables,
    ) -> Iterator[dg.Output[dict[str, bytes]] | CheckEvent]:
        windows, place = windows_of(context), feed_file.place
        newest = windows[-1]
        if len(windows) == 1:
            _require_markets(features[newest.key], newest)
        if not place.document.exists():
            _require_fresh_candles(features[newest.key], newest)
        if not_loaded:
            message = "the feed lacks %s, installed since the code location was loaded; reload it"
            context.log.warning(message, ", ".join(not_loaded))
        feeds: dict[str, _WindowFeed] = {}
        for window in windows:
            started, written_at = time.perf_counter(), clock.now()
            stored = _stored_feed(context, lake, window)
            tables = {strategy: signals[f"signals_{strategy.key}"][window.key] for strategy in registered}
            _require_same_markets(features[window.key], tables.values())
            feed = build_feed(
                features[window.key],
                tables,
                candle_files,
                window,
                api=_refresh_report(context, providers, window),
                written_at=written_at,
                published_at_ms=None if stored is None else stored.published_at_ms,
                cache=features_cache,
                track_record=track_record[window.key],
            )
            built = _encoded(feed, window)
            feeds[window.key] = _WindowFeed.of(feed, built, stored, not_loaded, started)
            if window == newest:
                newest_feed = _newer_of(built, stored)
        contract = {key: found.contract for key, found in feeds.items()}
        invalid = [f"{key}: {problem}" for key, found in feeds.items() for problem in found.problems]
        if invalid:
            yield from window_check_results(context, CONTRACT, contract, dg.AssetCheckSeverity.ERROR)
            raise dg.Failure(f"the feed breaks its contract and is not published: {invalid[0]}", allow_retries=False)
        run_leases.require()
        publication = publish(newest_feed, place, clock.now())
        for window in windows:
            # A feed that was deleted, or whose run was killed before it stored it, is not the first when made again.
            if feeds[window.key].is_first and read_published(lake, window) is None:
                first = [signals[f"signals_{strategy.key}"][window.key] for strategy in registered]
                at_ms = feeds[window.key].published_at_ms
                _keep_published(context, lake, strategies, first, features[window.key], window, at_ms)
        if feeds[newest.key].keeps_stored:
            publication = Publication.NEWER_CANDLES
        for key, found in feeds.items():
            metadata = found.metadata_as(publication if key == newest.key else None)
            context.add_asset_metadata(metadata, partition_key=key)
        yield dg.Output({key: found.document for key, found in feeds.items()})
        yield from window_check_results(context, CONTRACT, contract, dg.AssetCheckSeverity.ERROR)
        yield from newest_window.check_results(context, lake, clock.now())

    return master_feed


@dataclass(frozen=True, slots=True)
class _WindowFeed:
    """What is kept of the feed of a window until all windows of the run are valid: a run can have hundreds of them.

    `document` is the feed to store, as the lake stores it; `is_first` tells whether no feed of the window is stored.
    """

    document: bytes
    problems: list[str]
    is_first: bool
    keeps_stored: bool
    published_at_ms: int
    metadata: dict[str, Any]

    @classmethod
    def of(
        cls,
        feed: dict[str, Any],
        built: StoredFeed,
        stored: StoredFeed | None,
        not_loaded: Sequence[str],
        started: float,
    ) -> Self:
        """Validate a feed, and compress it or the stored one; `started` is the counter at which it was begun."""
        problems = feed_problems(built.content)
        chosen = _newer_of(built, stored)
        keeps_stored = chosen is stored
        metadata = {
            **_feed_metadata(feed, not_loaded),
            "replaces_stored": not keeps_stored,
            "seconds": time.perf_counter() - started,
        }
        document = compress_document(chosen.content)
        return cls(document, problems, stored is None, keeps_stored, feed["published_at_ms"], metadata)

    @property
    def contract(self) -> WindowCheckResult:
        """The result of the check `contract`."""
        return WindowCheckResult(not self.problems, {"problems": dg.MetadataValue.json(self.problems)})

    def metadata_as(self, publication: Publication | None) -> dict[str, Any]:
        """Return the metadata of the window; only the newest window of a run has a `publication`."""
        return {
            **self.metadata,
            "published": publication is Publication.PUBLISHED,
            **({} if publication is None else {"publication": str(publication)}),
        }


def _encoded(feed: dict[str, Any], window: Window) -> StoredFeed:
    """Return a feed as it is stored."""
    return StoredFeed(orjson.dumps(feed), window, feed["stats"]["candles"]["newest_close_ms"], feed["published_at_ms"])


def _newer_of(built: StoredFeed, stored: StoredFeed | None) -> StoredFeed:
    """Return the stored feed if it was made from newer candles, else the one that was built."""
    return stored if stored is not None and stored.has_newer_candles(built) else built


def _keep_published(
    context: dg.AssetExecutionContext,
    lake: Lake,
    strategies: Strategies,
    tables: Sequence[pd.DataFrame],
    features: pd.DataFrame,
    window: Window,
    published_at_ms: int,
) -> None:
    """Store the setups of the first feed of a window, which trades follow; if that fails, the feed is made anyway."""
    try:
        rules = {strategy.name: TradeRules.of(strategy) for strategy in strategies.load().values()}
        write_published(lake, window, published_setups(tables, features, window, published_at_ms, rules))
    except (WriteError, ParametersError) as error:
        context.log.warning("the setups of %s are not kept: %s; trades follow the stored signals", window.key, error)


def _require_same_markets(features: pd.DataFrame, tables: Iterable[pd.DataFrame]) -> None:
    """Raise dg.RetryRequested if features and signals are not of the same markets."""
    markets = ["exchange", "symbol"]
    if not all(table[markets].equals(features[markets]) for table in tables):
        raise dg.RetryRequested(max_retries=3, seconds_to_wait=RETRY_AFTER_SECONDS)


def _require_markets(features: pd.DataFrame, window: Window) -> None:
    """Raise dg.Failure if no market has a candle of before the window's end, since the feed would be empty."""
    if features.empty:
        message = f"no market has a candle that had closed by {window.end:%Y-%m-%dT%H:%MZ}; no feed was made"
        raise dg.Failure(message, allow_retries=False)


def _require_fresh_candles(features: pd.DataFrame, window: Window) -> None:
    """Raise dg.Failure if no candle is as new as the window, since all signals of a first feed would be WAIT."""
    found = stale_candles(features, window)
    if found is not None:
        metadata = {"error": STALE_CANDLES.value, "as_of": found.as_of}
        raise dg.Failure(f"{found.message}; nothing was published", metadata=metadata, allow_retries=False)


def _stored_feed(context: dg.AssetExecutionContext, lake: Lake, window: Window) -> StoredFeed | None:
    """Return the stored feed of a window, None if it is missing or damaged."""
    try:
        content = lake.read_document(["master_feed"], window.key)
    except LakeError as error:
        context.log.warning("%s; it is replaced", error)
        return None
    return None if content is None else StoredFeed.of(content)


def _refresh_report(context: dg.AssetExecutionContext, providers: Providers, window: Window) -> dict[str, Any] | None:
    """Return the report of the window's last refresh, None if there is none."""
    try:
        with providers.store() as store:
            report = store.load_report(window.key)
    except StoreError as error:
        context.log.warning("the report of the refresh is missing: %s", error)
        return None
    found: dict[str, Any] | None = None if report is None else orjson.loads(report)
    return found


def _feed_metadata(feed: dict[str, Any], not_loaded: Sequence[str]) -> dict[str, Any]:
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
