"""The store of fetched bars and of the ranges that were requested, so that no call is spent twice.

Each response is stored in one transaction, so a crash loses at most the response in flight.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from quant_assets.common.database_server import CHECK_SERVER, DatabaseServer
from quant_assets.common.files import advice_for
from quant_assets.common.windows import KEY_FORMAT
from quant_assets.derivatives import queries
from quant_assets.derivatives.datasets import SPECS, Dataset
from quant_assets.derivatives.tables import BAR_TABLES, BARS, selected
from quant_assets.storage.database import LOCK_TIMEOUT_SECONDS, DatabaseError, NewerDatabase
from quant_assets.storage.opening import open_database
from quant_assets.storage.schema import (
    claims,
    empty_responses,
    exchange_snapshots,
    fetched_ranges,
    metadata,
    refresh_reports,
    served_symbols,
)

#: Longer than a request can take, from the claim until its response is stored.
CLAIM_TIMEOUT_MS: Final = 75_000
#: An empty response counts against a symbol only if its range ends within the last day.
DAY_SECONDS: Final = 86_400
SIMULATED: Final = "simulated"

Point = tuple[float, ...]
Row = tuple[Any, ...]


class StoreError(RuntimeError):
    """The store cannot be used; the message names the file and the remedy."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A response to store.

    `requested` are the symbols of the request, `bars` the closed bars `(t, *values)` of each symbol in the response.
    The request covers the bars from `start` to `through` (UNIX seconds) that had closed at `fetched_at_ms`.
    """

    dataset: Dataset
    requested: tuple[str, ...]
    bars: Mapping[str, Sequence[Point]]
    start: int
    through: int
    fetched_at_ms: int
    simulated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeSnapshot:
    """What an exchange says of one of its markets; NaN-free, None where it says nothing.

    Attributes:
        exchange: its name.
        symbol: the exchange's own id.
        closed_at_ms: the end of the window whose value it is, or the time at which it was seen, epoch ms.
        observed_at_ms: when it was seen, epoch ms.
        open_interest: in base units.
        funding_rate_pct: percent for `interval_hours`.
        interval_hours: hours that the funding rate is for.
        simulated: whether an emulator said it.
    """

    exchange: str
    symbol: str
    closed_at_ms: int
    observed_at_ms: int
    open_interest: float | None
    funding_rate_pct: float | None
    interval_hours: float | None
    simulated: bool


@dataclass(frozen=True, slots=True)
class OwnInterest:
    """The windows with open interest of a market's own exchange, and when its history was asked for (None: never)."""

    windows: int
    history_asked_ms: int | None


class DerivativesStore:
    """The SQLite file at `place`, which is created if it is missing, or the tables in the database of a server.

    Several processes can use it at once, and with a server several machines. With `read_only` no file or table is
    created or changed, and the folder need not be writable. A missing store is empty then, and methods that write raise
    StoreError.
    """

    def __init__(
        self,
        place: Path | DatabaseServer,
        *,
        read_only: bool = False,
        lock_timeout_seconds: float = LOCK_TIMEOUT_SECONDS,
    ) -> None:
        self.place = place
        self._read_only = read_only
        self._owner = uuid.uuid4().hex
        try:
            self._database = open_database(
                place, BAR_TABLES, read_only=read_only, lock_timeout_seconds=lock_timeout_seconds
            )
        except NewerDatabase as error:
            raise StoreError(f"{place} {error}") from error
        except (DatabaseError, OSError) as error:
            move_away = "move it away, and its data are fetched again"
            advice = advice_for(error) or (move_away if isinstance(place, Path) else CHECK_SERVER)
            raise StoreError(f"{place} cannot be used ({error}); {advice}") from error

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def add(self, fetched: Fetched) -> None:
        """Store a response: its bars, the requested range, and the symbols without data."""
        dataset, at_ms = fetched.dataset, fetched.fetched_at_ms
        with_data = [symbol for symbol in fetched.requested if fetched.bars.get(symbol)]
        bars = ((symbol, *bar) for symbol, bars in fetched.bars.items() for bar in bars)
        with self._write() as connection:
            self._database.replace_rows(connection, BARS[dataset], bars)
            self._add_ranges(connection, fetched)
            connection.execute(queries.DELETE_EMPTY, {"dataset": dataset, "symbols": with_data})
            if fetched.through >= at_ms / 1000 - DAY_SECONDS:
                empty = [symbol for symbol in fetched.requested if symbol not in with_data]
                last = dict(map(tuple, connection.execute(queries.LAST_EMPTY, {"dataset": dataset, "symbols": empty})))
                rows = ((dataset, symbol, at_ms, last.get(symbol)) for symbol in empty)
                self._database.replace_rows(connection, empty_responses, rows)
            self._database.replace_rows(connection, served_symbols, ((dataset, symbol) for symbol in fetched.bars))
            if fetched.simulated:
                self._mark_simulated(connection)

    def add_snapshots(self, snapshots: Iterable[ExchangeSnapshot]) -> None:
        """Store snapshots of exchanges' markets; one of the same market and `closed_at_ms` is replaced."""
        rows = ((*astuple(each)[:-1], int(each.simulated)) for each in snapshots)
        with self._write() as connection:
            self._database.replace_rows(connection, exchange_snapshots, rows)

    def snapshots(self, after_ms: int, until_ms: int) -> list[ExchangeSnapshot]:
        """Return the snapshots that closed in (`after_ms`, `until_ms`], by exchange, symbol and time."""
        return [_snapshot(row) for row in self._query(queries.SNAPSHOTS_BETWEEN, after_ms=after_ms, until_ms=until_ms)]

    def snapshots_of(self, exchange: str, symbol: str, after_ms: int, until_ms: int) -> list[ExchangeSnapshot]:
        """Return those of one market, by the exchange's own id."""
        market = {"exchange": exchange, "symbol": symbol}
        rows = self._query(queries.SNAPSHOTS_OF_MARKET, after_ms=after_ms, until_ms=until_ms, **market)
        return [_snapshot(row) for row in rows]

    def own_interest(self, exchange: str, after_ms: int, until_ms: int, window_ms: int) -> dict[str, OwnInterest]:
        """Return by symbol what an exchange said of open interest that closed in (`after_ms`, `until_ms`]."""
        rows = self._query(
            queries.OWN_INTEREST, exchange=exchange, after_ms=after_ms, until_ms=until_ms, window_ms=window_ms
        )
        return {symbol: OwnInterest(int(windows), asked) for symbol, windows, asked in rows}

    def snapshots_since(self, exchange: str, since_ms: int) -> list[ExchangeSnapshot]:
        """Return those of an exchange that closed at a time or later, by symbol and time."""
        rows = self._query(queries.SNAPSHOTS_SINCE, exchange=exchange, since_ms=since_ms)
        return [_snapshot(row) for row in rows]

    def mark_simulated(self) -> None:
        """Store that the provider is an emulator."""
        with self._write() as connection:
            self._mark_simulated(connection)

    @property
    def simulated(self) -> bool:
        """Return whether any data in the store are from an emulator."""
        return bool(self._query(queries.METADATA, name=SIMULATED))

    def known_through(self, dataset: Dataset, symbols: Iterable[str], start: int) -> dict[str, int]:
        """Return by symbol the time (UNIX seconds) through which all bars since `start` were requested."""
        return dict(self._query_symbols(queries.KNOWN_THROUGH, symbols, dataset=dataset, start=start))

    def served_symbols(self, dataset: Dataset) -> set[str]:
        """Return the symbols that were in any response, even without bars: the provider has this dataset for them."""
        return {row[0] for row in self._query(queries.SERVED_SYMBOLS, dataset=dataset)}

    def empty_twice(self, since_ms: float) -> dict[str, set[str]]:
        """Return by dataset the symbols whose last two responses, both since `since_ms`, were empty."""
        found: dict[str, set[str]] = {dataset: set() for dataset in SPECS}
        for dataset, symbol in self._query(queries.EMPTY_TWICE, since_ms=since_ms):
            if dataset in found:  # a dataset whose package was removed keeps its rows
                found[dataset].add(symbol)
        return found

    def bars(self, dataset: Dataset, symbols: Iterable[str], start: int, end: int) -> list[Row]:
        """Return `(symbol, t, *values)` of the bars that open in [start, end), by symbol and time."""
        return self._query_symbols(queries.BARS_BETWEEN[dataset], symbols, start=start, end=end)

    def last_bars(self, dataset: Dataset, symbols: Iterable[str], end: int) -> list[Row]:
        """Return `(symbol, t, *values)` of each symbol's newest bar that opens before `end` (UNIX seconds)."""
        return self._query_symbols(queries.LAST_BARS[dataset], symbols, end=end)

    def claim(self, dataset: Dataset, symbols: Iterable[str], now_ms: int) -> list[str]:
        """Claim symbols to request, and return them without those that another process has claimed.

        `now_ms` is by a monotonic clock that all processes of the machine share; the database of a server has its own.
        A claim ends with `release`, or by itself after CLAIM_TIMEOUT_MS.
        """
        with self._write() as connection:
            now_ms = self._database.now_ms(connection, now_ms)
            until_ms = now_ms + CLAIM_TIMEOUT_MS
            # Claims that end even later are from before a reboot, which restarts the clock. Another process's claim may
            # be a little later than `now_ms`, since this one waits for the lock.
            others = {
                "dataset": dataset,
                "owner": self._owner,
                "now_ms": now_ms,
                "latest_ms": now_ms + 2 * CLAIM_TIMEOUT_MS,
            }
            claimed = set(connection.scalars(queries.CLAIMED_ELSEWHERE, others))
            free = [symbol for symbol in symbols if symbol not in claimed]
            rows = ((dataset, symbol, self._owner, until_ms) for symbol in free)
            self._database.replace_rows(connection, claims, rows)
        return free

    def release(self, dataset: Dataset, symbols: Iterable[str]) -> None:
        """Release claims, after the symbols were fetched or failed."""
        with self._write() as connection:
            mine = {"dataset": dataset, "symbols": list(symbols), "owner": self._owner}
            connection.execute(queries.RELEASE, mine)

    def prune(self, before: int) -> int:
        """Delete the bars that opened before `before` (UNIX seconds) and their ranges; return the number of bars.

        The file is compacted once a quarter of its pages are free.
        """
        limit = {"before": before}
        key = datetime.fromtimestamp(before, UTC).strftime(KEY_FORMAT)
        with self._write() as connection:
            bars = sum(connection.execute(delete, limit).rowcount for delete in queries.PRUNE_BARS.values())
            connection.execute(queries.PRUNE_RANGES, limit)
            connection.execute(queries.CUT_RANGES, limit)
            connection.execute(queries.PRUNE_SNAPSHOTS, {"before_ms": before * 1000})
            connection.execute(queries.PRUNE_REPORTS, {"before_window": key})
        with self._translated_errors():
            self._database.compact()
        return bars

    def save_report(self, window: str, report: str) -> None:
        """Store the report (JSON) of the last refresh of `window`."""
        with self._write() as connection:
            self._database.replace_rows(connection, refresh_reports, [(window, report)])

    def load_report(self, window: str) -> str | None:
        """Return the report (JSON) of the last refresh of `window`, None if there is none."""
        rows = self._query(queries.REPORT, window=window)
        return rows[0][0] if rows else None

    def _add_ranges(self, connection: sa.Connection, fetched: Fetched) -> None:
        """Add the requested range of each symbol, merged with the stored ranges that touch it."""
        dataset, start, through = fetched.dataset, fetched.start, fetched.through
        asked = {"dataset": dataset, "symbols": list(fetched.requested), "start": start, "through": through}
        merged = dict.fromkeys(fetched.requested, (start, through))
        for symbol, first, last in connection.execute(queries.TOUCHING_RANGES, asked):
            merged[symbol] = (min(start, first), max(through, last))
        connection.execute(queries.DELETE_TOUCHING_RANGES, asked)
        rows = ((dataset, symbol, *merged_range) for symbol, merged_range in merged.items())
        self._database.replace_rows(connection, fetched_ranges, rows)

    def _mark_simulated(self, connection: sa.Connection) -> None:
        self._database.replace_rows(connection, metadata, [(SIMULATED, "1")])

    def _query_symbols(self, query: sa.Select[Any], symbols: Iterable[str], **parameters: object) -> list[Row]:
        """Run a query that joins the temporary table `selected`, which has the `symbols`."""
        chosen = [(symbol,) for symbol in symbols]

        def run(connection: sa.Connection) -> list[Row]:
            connection.execute(queries.CREATE_SELECTED)
            connection.execute(queries.CLEAR_SELECTED)
            self._database.replace_rows(connection, selected, chosen)
            return [tuple(row) for row in connection.execute(query, parameters)]

        return self._read(run)

    def _query(self, query: sa.Select[Any], **parameters: object) -> list[Row]:
        return self._read(lambda connection: [tuple(row) for row in connection.execute(query, parameters)])

    def _read(self, query: Callable[[sa.Connection], list[Row]]) -> list[Row]:
        with self._translated_errors():
            return self._database.read(query)

    @contextmanager
    def _write(self) -> Iterator[sa.Connection]:
        """Yield a connection in a transaction. Raise StoreError, after which nothing was stored."""
        if self._read_only:
            raise StoreError(f"{self.place} is open read-only; nothing was stored")
        with self._translated_errors(), self._database.write() as connection:
            yield connection

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        try:
            yield
        except DatabaseError as error:
            raise StoreError(f"{self.place}: {error}; {advice_for(error) or 'nothing was stored'}") from error


def _snapshot(row: Row) -> ExchangeSnapshot:
    exchange, symbol, closed_at_ms, observed_at_ms, open_interest, funding_rate_pct, interval_hours, simulated = row
    return ExchangeSnapshot(
        exchange=exchange,
        symbol=symbol,
        closed_at_ms=closed_at_ms,
        observed_at_ms=observed_at_ms,
        open_interest=open_interest,
        funding_rate_pct=funding_rate_pct,
        interval_hours=interval_hours,
        simulated=bool(simulated),
    )
