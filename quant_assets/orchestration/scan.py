"""One scan through Dagster: the runs that the command line starts, and what came of them."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import dagster as dg
import orjson
import pandas as pd
from filelock import FileLock, Timeout

from quant_assets.candles import CandleFolderError, read_candles, require_readable_candles
from quant_assets.common.files import remedy
from quant_assets.common.progress import Progress
from quant_assets.common.settings import Settings
from quant_assets.common.windows import Window
from quant_assets.derivatives.datasets import DATASETS
from quant_assets.feed import Publication
from quant_assets.markets import list_of_provider
from quant_assets.orchestration.instance import instance_home, open_instance
from quant_assets.orchestration.job_names import MARKET_LIST, SCAN
from quant_assets.signals import STALE_CANDLES, features_table, stale_candles
from quant_assets.storage.lake import DOCUMENT_SUFFIX, Lake

#: The two calls of a market list that is due get this much time, whatever is left for the refresh.
MIN_LIST_SECONDS: Final = 10.0
MAX_LIST_SECONDS: Final = 60.0
MARKET_LIST_MAX_AGE: Final = timedelta(hours=24)
#: `package.module.Error: ` in front of a message.
_CLASS_PATH: Final = re.compile(r"^(\w+\.)*\w+: ")
QUIET: Final = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class ScanFailed(RuntimeError):
    """A run failed; the message is that of the step that did."""


class UnreadableCandles(ScanFailed):
    """The folder of candle files is missing, or none of its files can be read."""


class StaleCandles(ScanFailed):
    """No candle is as new as the window of a first scan. `as_of` (ISO 8601) is a moment that can be scanned, or ""."""

    def __init__(self, message: str, as_of: str) -> None:
        super().__init__(message)
        self.as_of = as_of


@dataclass(frozen=True, slots=True)
class ScanResult:
    """What a scan gave: the feed of the window and where it lies, the account of the refresh, and what is to be said.

    `publication` says whether it is the master feed now, or why the one that was there stays: an older window than that
    one is kept beside it, and one from older candles is not kept.
    """

    feed: dict[str, Any]
    feed_path: Path
    publication: Publication
    api: dict[str, float]
    key_refused: bool
    notes: tuple[str, ...]
    elapsed_seconds: float


def run_scan(
    settings: Settings,
    definitions: dg.Definitions,
    folder: Path,
    window: Window,
    *,
    max_wait_seconds: float,
    exchange: str,
    symbol: str,
    progress: Progress,
) -> ScanResult:
    """Scan one window: the market list first where it is due, then everything else.

    Raises ScanFailed, UnreadableCandles, and StaleCandles where this would be the first feed and no candle reaches to
    the window.
    """
    started = time.monotonic()
    if not settings.feed_path.is_file():
        _refuse_stale_candles(folder, window, progress)
    with translate_disk_errors(settings), open_instance(settings) as instance, scan_lock(settings, progress):
        list_seconds = min(max(max_wait_seconds, MIN_LIST_SECONDS), MAX_LIST_SECONDS)
        listed = fetch_market_list_if_due(settings, definitions, instance, list_seconds)
        left_seconds = max(max_wait_seconds - (time.monotonic() - started), 0.0) if listed.calls else max_wait_seconds
        result = definitions.resolve_job_def(SCAN).execute_in_process(
            instance=instance,
            partition_key=window.key,
            raise_on_error=False,
            run_config={
                **QUIET,
                "ops": {
                    "candles": {"config": {"folder": str(folder)}},
                    "derivatives": {
                        "config": {"max_wait_seconds": left_seconds, "exchange": exchange, "symbol": symbol}
                    },
                },
            },
        )
        if not result.success:
            message, metadata = step_failure(result)
            if metadata.get("error") == STALE_CANDLES:
                raise StaleCandles(message, metadata.get("as_of", ""))
            if metadata.get("error") == CandleFolderError.__name__:
                raise UnreadableCandles(f"{message}; nothing was published")
            raise ScanFailed(message)
        materializations = _materialized(result)
        lake = Lake(settings.lake_dir)
        document = lake.read_document(["master_feed"], window.key)
        if document is None:
            raise ScanFailed(f"the feed of window {window.key} was removed while it was to be read")
        feed = orjson.loads(document)
        stale = tuple(_stale(lake, window))
    publication = Publication(materializations["master_feed"]["publication"].value)
    refreshed = [materializations[dataset] for dataset in DATASETS]
    return ScanResult(
        feed=feed,
        feed_path=lake.path(["master_feed"], window.key, DOCUMENT_SUFFIX)
        if publication is Publication.NEWER_WINDOW
        else settings.feed_path,
        publication=publication,
        api=_spent(listed, refreshed),
        key_refused=listed.key_refused or refreshed[0]["stopped"].value == "key_refused",
        notes=(*_notes(listed, materializations), *stale),
        elapsed_seconds=time.monotonic() - started,
    )


def _refuse_stale_candles(folder: Path, window: Window, progress: Progress) -> None:
    """Raise StaleCandles before anything is spent on a window that no candle reaches to."""
    try:
        tables = read_candles(folder, progress=progress)
        require_readable_candles(folder, tables.files)
    except CandleFolderError as error:
        raise UnreadableCandles(f"{error}; nothing was published") from None
    found = stale_candles(features_table(tables.bars, pd.DataFrame(), {}, window), window)
    if found is not None:
        raise StaleCandles(f"{found.message}; nothing was published", found.as_of)


@dataclass(frozen=True, slots=True)
class MarketListRun:
    """What came of fetching the market list, if it was due at all."""

    calls: int = 0
    requests: int = 0
    rate_limited: int = 0
    waited_seconds: float = 0.0
    problem: str = ""
    key_refused: bool = False

    @classmethod
    def of(cls, spent: Mapping[str, Any], problem: str = "", *, key_refused: bool = False) -> MarketListRun:
        """Take what was spent from the metadata of a run, which a run that never came to asking leaves out."""
        return cls(
            int(spent.get("calls", 0)),
            int(spent.get("requests", 0)),
            int(spent.get("rate_limited", 0)),
            float(spent.get("waited_seconds", 0.0)),
            problem,
            key_refused,
        )


def _spent(listed: MarketListRun, refreshed: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return what the scan spent in all: on the market list, and by dataset."""
    return {
        "calls": listed.calls + sum(int(metadata["calls"].value) for metadata in refreshed),
        "requests": listed.requests + sum(int(metadata["requests"].value) for metadata in refreshed),
        "rate_limited": listed.rate_limited + int(refreshed[0]["rate_limited"].value),
        "cache_hits": sum(int(metadata["cache_hits"].value) for metadata in refreshed),
        "waited_seconds": round(listed.waited_seconds + float(refreshed[0]["waited_seconds"].value), 3),
    }


def _notes(listed: MarketListRun, materializations: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Give a line for whatever is degraded: the list, the derivatives, a strategy."""
    if listed.problem:
        yield listed.problem
    derivatives = materializations[DATASETS[0]]
    problems = list(derivatives["problems"].value)
    if problems and derivatives["stopped"].value != "no_key" and not listed.key_refused:
        yield f"derivatives: {problems[-1]}; what was known is carried forward"
    for key, metadata in materializations.items():
        if key.startswith("signals/"):
            yield from list(metadata["failures"].value)[:1]


def _stale(lake: Lake, window: Window) -> Iterator[str]:
    """Say what to do where no candle reaches to the window, as with files of another day."""
    features = lake.read(["features"], window.key)
    found = None if features is None else stale_candles(features, window)
    if found is not None:
        yield f"{found.message}{f'; scan with --as-of {found.as_of}' if found.as_of else ''}"


def fetch_market_list_if_due(
    settings: Settings, definitions: dg.Definitions, instance: dg.DagsterInstance, max_wait_seconds: float = 60.0
) -> MarketListRun:
    """Fetch the market list where it is a day old or missing and there is a key; a failure leaves the last one."""
    if not market_list_is_due(settings, datetime.now(UTC)):
        return MarketListRun()
    result = definitions.resolve_job_def(MARKET_LIST).execute_in_process(
        instance=instance,
        raise_on_error=False,
        run_config={
            **QUIET,
            "ops": {"coinalyze_markets": {"config": {"max_wait_seconds": max_wait_seconds, "retry": False}}},
        },
    )
    if result.success:
        metadata = _materialized(result)["coinalyze_markets"]
        return MarketListRun.of({name: value.value for name, value in metadata.items()})
    message, spent = step_failure(result)
    return MarketListRun.of(
        spent, f"market list: {message}; {_served_instead(settings)}", key_refused=spent.get("error") == "InvalidApiKey"
    )


def _served_instead(settings: Settings) -> str:
    """Say what it means that no market list came."""
    last = list_of_provider(Lake(settings.lake_dir).read_sound(["coinalyze_markets"]), settings.provider)
    return "there is none yet, so every market is neutral" if last is None else "the last one goes on serving"


@contextmanager
def scan_lock(settings: Settings, progress: Progress) -> Iterator[None]:
    """Wait until no other command scans into this data folder: its tables of candles are one, whichever was the folder.

    What it was waited for has refreshed the same store, so little is left to ask for.
    """
    lock = FileLock(settings.data_dir / "scan.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        progress("another scan", 0, 1, "its turn first")
        lock.acquire()
        progress("another scan", 1, 1, "")
    try:
        yield
    finally:
        lock.release()


@contextmanager
def translate_disk_errors(settings: Settings) -> Iterator[None]:
    """Say which folder it is where Dagster could not write its records. Raises ScanFailed then."""
    try:
        yield
    except Exception as error:
        what_to_do = remedy(error)
        if not what_to_do:
            raise
        reason = str(error).partition("\n")[0]
        raise ScanFailed(
            f"Dagster's records in {instance_home(settings)} cannot be written ({reason}); {what_to_do}. "
            "What was fetched is kept, and the last feed stands"
        ) from error


def _materialized(result: dg.ExecuteInProcessResult) -> dict[str, Mapping[str, Any]]:
    """Return the metadata of what a run materialized, by asset."""
    return {
        event.asset_key.to_user_string(): event.step_materialization_data.materialization.metadata
        for event in result.get_asset_materialization_events()
        if event.asset_key is not None
    }


def market_list_is_due(settings: Settings, now: datetime) -> bool:
    """Whether there is a key, and the market list is a day old or missing; only looks."""
    if not settings.has_key(os.environ):
        return False
    market_list = list_of_provider(Lake(settings.lake_dir).read_sound(["coinalyze_markets"]), settings.provider)
    if market_list is None:
        return True
    age = now.timestamp() - float(market_list["fetched_at_ms"].max()) / 1000
    return not 0 <= age < MARKET_LIST_MAX_AGE.total_seconds()  # one of the future was fetched by a wrong clock


def step_failure(result: dg.ExecuteInProcessResult) -> tuple[str, Mapping[str, Any]]:
    """Return the message of the first step that failed, and the metadata that it left.

    Raises KeyboardInterrupt where it failed for that.
    """
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            if data.user_failure_data is not None:
                metadata = {name: value.value for name, value in data.user_failure_data.metadata.items()}
                return str(data.user_failure_data.description), metadata
            error = data.error.cause or data.error if data.error is not None else None
            message = error.message.strip() if error is not None else "failed"
            if "Interrupted" in message:
                raise KeyboardInterrupt
            return f"{event.step_key}: {_CLASS_PATH.sub('', message)}", {}
    return "the run failed before its first step", {}
