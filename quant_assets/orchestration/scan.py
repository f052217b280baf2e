"""Scan one window through Dagster, in this process, as `quant-assets scan` does."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import dagster as dg
import orjson

from quant_assets.candles import CandleFolderError, read_scannable_candles
from quant_assets.candles.longer_files import describe_longer_files
from quant_assets.common.files import advice_for
from quant_assets.common.progress import Progress
from quant_assets.common.settings import Settings
from quant_assets.common.windows import Window
from quant_assets.derivatives.datasets import DATASETS
from quant_assets.derivatives.report import StopReason
from quant_assets.feed import Publication
from quant_assets.orchestration.instance import instance_home, open_instance
from quant_assets.orchestration.job_names import SCAN
from quant_assets.orchestration.job_runs import materialized_metadata, quiet_run_config, step_failure
from quant_assets.orchestration.market_list_run import MarketListRun, fetch_market_lists_if_due
from quant_assets.signals import STALE_CANDLES, candle_features_table, stale_candles
from quant_assets.storage.documents import Document
from quant_assets.storage.held_lock import LostLock
from quant_assets.storage.lake import DOCUMENT_SUFFIX, Lake
from quant_assets.storage.locks import exclusive

#: Limits on the time for the two calls of a market list that is due, whatever time the scan has.
MIN_LIST_SECONDS: Final = 10.0
MAX_LIST_SECONDS: Final = 60.0


#: The records of a run take about a megabyte.
RECORDS_BYTES: Final = 2**20


class ScanFailed(RuntimeError):
    """A run failed; the message is that of the step that failed."""


class UnreadableCandles(ScanFailed):
    """The folder of candle files is missing, or none of its files can be read."""


class StaleCandles(ScanFailed):
    """No candle is as new as the window of a first scan.

    `as_of` (ISO 8601) is a moment that can be scanned, "" if there is none.
    """

    def __init__(self, message: str, as_of: str) -> None:
        super().__init__(message)
        self.as_of = as_of


@dataclass(frozen=True, slots=True)
class ScanResult:
    """The feed of a window and where it is stored, what the scan cost, and notes for the user.

    `publication` says whether the feed replaced the master feed, and if not, why. The feed of an older window is stored
    in the lake only; a feed from older candles is not stored.
    """

    feed: dict[str, Any]
    feed_path: str
    publication: Publication
    api: dict[str, float]
    key_refused: bool
    notes: tuple[str, ...]
    elapsed_seconds: float


def run_scan(
    settings: Settings,
    definitions: dg.Definitions,
    folder: Path | None,
    window: Window,
    *,
    max_wait_seconds: float,
    exchange: str,
    symbol: str,
    progress: Progress,
    given: dg.DagsterInstance | None = None,
) -> ScanResult:
    """Scan one window: fetch the market list if it is due, then run the job `scan`.

    The candles are those of `folder` alone; None for the stored ones of exchanges and those of the environment's
    folder. The run is recorded in `given`, or else in the instance of the data folder. Raises ScanFailed,
    UnreadableCandles, and StaleCandles if this is the first feed and no candle is as new as the window.
    """
    started = time.monotonic()
    if folder is not None and not Document.at(settings.feed_place).exists():
        _require_fresh_candles(folder, window, progress)
    with (
        translate_disk_errors(settings),
        nullcontext(given) if given else open_instance(settings) as instance,
        scan_lock(settings, progress),
    ):
        list_seconds = min(max(max_wait_seconds, MIN_LIST_SECONDS), MAX_LIST_SECONDS)
        market_list = fetch_market_lists_if_due(settings, definitions, instance, list_seconds)
        left_seconds = max_wait_seconds
        if market_list.calls:
            left_seconds = max(max_wait_seconds - (time.monotonic() - started), 0.0)
        result = definitions.resolve_job_def(SCAN).execute_in_process(
            instance=instance,
            partition_key=window.key,
            raise_on_error=False,
            run_config=quiet_run_config(
                candles={"folder": "" if folder is None else str(folder), "closed_by_ms": window.end_ms},
                derivatives={"max_wait_seconds": left_seconds, "exchange": exchange, "symbol": symbol},
            ),
        )
        if not result.success:
            message, failure = step_failure(result)
            if failure.get("error") == STALE_CANDLES:
                raise StaleCandles(message, failure.get("as_of", ""))
            if failure.get("error") == CandleFolderError.__name__:
                raise UnreadableCandles(f"{message}; nothing was published")
            if not failure:  # no failure of ours: perhaps Dagster could not write a record of the step
                _require_room(settings.data_dir)
            raise ScanFailed(message)
        materialized = materialized_metadata(result)
        lake = Lake(settings.lake_place)
        document = lake.read_document(["master_feed"], window.key)
        if document is None:
            raise ScanFailed(f"the feed of window {window.key} was removed before it could be read")
        feed = orjson.loads(document)
        stale = tuple(_stale_candles_note(lake, window))
    publication = Publication(materialized["master_feed"]["publication"])
    refreshed = [materialized[dataset] for dataset in DATASETS]
    return ScanResult(
        feed=feed,
        feed_path=lake.describe(["master_feed"], window.key, DOCUMENT_SUFFIX)
        if publication is Publication.NEWER_WINDOW
        else str(Document.at(settings.feed_place)),
        publication=publication,
        api=_api_usage(market_list, refreshed),
        key_refused=market_list.key_refused or refreshed[0]["stopped"] == StopReason.KEY_REFUSED,
        notes=(*_notes(market_list, materialized), *stale),
        elapsed_seconds=time.monotonic() - started,
    )


def _require_fresh_candles(folder: Path, window: Window, progress: Progress) -> None:
    """Raise StaleCandles, before any call is spent, if no candle is as new as the window."""
    try:
        bars = read_scannable_candles(folder, progress=progress).bars
    except CandleFolderError as error:
        raise UnreadableCandles(f"{error}; nothing was published") from None
    found = stale_candles(candle_features_table(bars, window), window)
    if found is not None:
        raise StaleCandles(f"{found.message}; nothing was published", found.as_of)


def _require_room(folder: Path) -> None:
    """Raise OSError if the disk of a folder has no room for the records of a run."""
    if shutil.disk_usage(folder).free < RECORDS_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def _api_usage(market_list: MarketListRun, refreshed: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return what the scan cost in all; `refreshed` is the metadata of each dataset."""
    # Each dataset counts its own calls; what concerns the whole refresh is the same in all of them.
    return {
        "calls": market_list.calls + sum(int(metadata["calls"]) for metadata in refreshed),
        "requests": market_list.requests + sum(int(metadata["requests"]) for metadata in refreshed),
        "rate_limited": market_list.rate_limited + int(refreshed[0]["rate_limited"]),
        "cache_hits": sum(int(metadata["cache_hits"]) for metadata in refreshed),
        "waited_seconds": round(market_list.waited_seconds + float(refreshed[0]["waited_seconds"]), 3),
    }


def _notes(market_list: MarketListRun, materialized: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield a line for each part that is degraded: the market list, candles, derivatives, trades, a strategy."""
    if market_list.problem:
        yield market_list.problem
    if note := describe_longer_files(list(materialized["candles"]["longer_files"])):
        yield note
    derivatives = materialized[DATASETS[0]]
    problems = list(derivatives["problems"])
    if problems and derivatives["stopped"] != StopReason.NO_KEY and not market_list.key_refused:
        yield f"derivatives: {problems[-1]}; what was known is carried forward"
    if problem := materialized["trades"]["problem"]:
        yield f"trades: {problem}; they are as before, and the feed has no new record"
    for key, metadata in materialized.items():
        if key.startswith("signals/"):
            yield from list(metadata["failures"])[:1]


def _stale_candles_note(lake: Lake, window: Window) -> Iterator[str]:
    """Yield the command that helps if no candle is as new as the window, as with files of another day."""
    features = lake.read(["features"], window.key)
    found = None if features is None else stale_candles(features, window)
    if found is not None:
        yield f"{found.message}{f'; scan with --as-of {found.as_of}' if found.as_of else ''}"


@contextmanager
def scan_lock(settings: Settings, progress: Progress) -> Iterator[None]:
    """Wait until no other command scans into this data folder or database: all write the same tables of candles.

    Raises ScanFailed at the end if the lock was lost, which only one in a database can be.
    """
    waited = False

    def on_wait() -> None:
        nonlocal waited
        waited = True
        progress("another scan", 0, 1, "waiting for it to end")

    with exclusive(settings.database or settings.data_dir, "scan", on_wait) as lock:
        if waited:
            progress("another scan", 1, 1, "")
        yield
        try:
            lock.require()
        except LostLock:
            raise ScanFailed(
                "this process did not run for a while, and another scan may have written the same tables; repeat it"
            ) from None


@contextmanager
def translate_disk_errors(settings: Settings) -> Iterator[None]:
    """Raise ScanFailed, which names the folder and the remedy, if Dagster cannot write its records."""
    try:
        yield
    except Exception as error:
        what_to_do = advice_for(error)
        if not what_to_do:
            raise
        reason = str(error).partition("\n")[0]
        raise ScanFailed(
            f"Dagster's records in {instance_home(settings)} cannot be written ({reason}); {what_to_do}. "
            "Fetched data and the last feed are kept"
        ) from error
