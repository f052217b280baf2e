"""The store of fetched bars and of the ranges that were requested, so that no call is spent twice.

Each response is stored in one transaction, so a crash loses at most the response in flight.
"""

from __future__ import annotations

import os
import sqlite3
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from quant_assets.common.file_identity import FileIdentity
from quant_assets.common.files import advice_for
from quant_assets.common.processes import pid_exists
from quant_assets.common.windows import KEY_FORMAT
from quant_assets.derivatives.datasets import SPECS, Dataset
from quant_assets.derivatives.tables import VERSION, create_tables

LOCK_TIMEOUT_SECONDS: Final = 60.0
CLAIM_TIMEOUT_MS: Final = 60_000
#: An empty response counts against a symbol only if its range ends within the last day.
DAY_SECONDS: Final = 86_400
MARK_SIMULATED: Final = "INSERT OR IGNORE INTO facts VALUES ('simulated', '1')"

Point = tuple[float, ...]
Row = tuple[Any, ...]
#: Modification time, size and inode of a file.


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


class DerivativesStore:
    """The SQLite file at `path`, which is created if it is missing. Several processes can use it at once.

    With `read_only` no file is created or changed, and the folder need not be writable. A missing store is empty then,
    and methods that write raise StoreError.
    """

    def __init__(
        self, path: Path, *, read_only: bool = False, lock_timeout_seconds: float = LOCK_TIMEOUT_SECONDS
    ) -> None:
        self.path = path
        self._read_only = read_only
        self._lock_timeout_seconds = lock_timeout_seconds
        self._is_immutable = False
        self._identity: FileIdentity | None = None
        self._owner = f"{os.getpid()}:{uuid.uuid4().hex}"
        self._open()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def add(self, fetched: Fetched) -> None:
        """Store a response: its bars, the requested range, and the symbols without data."""
        spec = SPECS[fetched.dataset]
        marks = ", ".join("?" * (2 + len(spec.columns)))
        with self._transaction() as connection:
            connection.executemany(
                f"INSERT OR REPLACE INTO {fetched.dataset} VALUES ({marks})",  # noqa: S608 - names from SPECS
                ((symbol, *bar) for symbol, bars in fetched.bars.items() for bar in bars),
            )
            for symbol in fetched.requested:
                self._add_range(connection, fetched, symbol)
                if fetched.bars.get(symbol):
                    connection.execute("DELETE FROM empty WHERE dataset = ? AND symbol = ?", (fetched.dataset, symbol))
                elif fetched.through >= fetched.fetched_at_ms / 1000 - DAY_SECONDS:
                    connection.execute(
                        "INSERT INTO empty VALUES (?, ?, ?, NULL) ON CONFLICT (dataset, symbol)"
                        " DO UPDATE SET previous_ms = last_ms, last_ms = excluded.last_ms",
                        (fetched.dataset, symbol, fetched.fetched_at_ms),
                    )
            connection.executemany(
                "INSERT OR IGNORE INTO seen VALUES (?, ?)", ((fetched.dataset, symbol) for symbol in fetched.bars)
            )
            if fetched.simulated:
                connection.execute(MARK_SIMULATED)

    def mark_simulated(self) -> None:
        """Store that the provider is an emulator."""
        with self._transaction() as connection:
            connection.execute(MARK_SIMULATED)

    @property
    def simulated(self) -> bool:
        """Return whether any data in the store are from an emulator."""
        return bool(self._query("SELECT 1 FROM facts WHERE name = 'simulated'"))

    def known_through(self, dataset: Dataset, symbols: Iterable[str], start: int) -> dict[str, int]:
        """Return by symbol the time (UNIX seconds) through which all bars since `start` were requested."""
        return dict(
            self._query_symbols(
                "SELECT asked.symbol, MAX(asked.through) FROM selected JOIN asked"
                " ON asked.dataset = ? AND asked.symbol = selected.symbol AND asked.start <= ? GROUP BY asked.symbol",
                symbols,
                (dataset, start),
            )
        )

    def served_symbols(self, dataset: Dataset) -> set[str]:
        """Return the symbols that were in any response, even without bars: the provider has this dataset for them."""
        return {row[0] for row in self._query("SELECT symbol FROM seen WHERE dataset = ?", dataset)}

    def empty_twice(self, since_ms: float) -> dict[str, set[str]]:
        """Return by dataset the symbols whose last two responses, both since `since_ms`, were empty."""
        found: dict[str, set[str]] = {dataset: set() for dataset in SPECS}
        for dataset, symbol in self._query("SELECT dataset, symbol FROM empty WHERE previous_ms >= ?", since_ms):
            if dataset in found:  # a dataset whose package was removed keeps its rows
                found[dataset].add(symbol)
        return found

    def bars(self, dataset: Dataset, symbols: Iterable[str], start: int, end: int) -> list[Row]:
        """Return `(symbol, t, *values)` of the bars that open in [start, end), by symbol and time."""
        columns = ", ".join(f"bars.{name}" for name in SPECS[dataset].columns)
        return self._query_symbols(
            f"SELECT bars.symbol, bars.t, {columns} FROM selected JOIN {dataset} AS bars"  # noqa: S608 - names from SPECS
            " ON bars.symbol = selected.symbol AND bars.t >= ? AND bars.t < ? ORDER BY bars.symbol, bars.t",
            symbols,
            (start, end),
        )

    def last_bars(self, dataset: Dataset, symbols: Iterable[str], end: int) -> list[Row]:
        """Return `(symbol, t, *values)` of each symbol's newest bar that opens before `end` (UNIX seconds)."""
        columns = ", ".join(f"bars.{name}" for name in SPECS[dataset].columns)
        return self._query_symbols(
            f"SELECT bars.symbol, bars.t, {columns} FROM selected JOIN {dataset} AS bars"  # noqa: S608 - names from SPECS
            " ON bars.symbol = selected.symbol AND bars.t ="
            f" (SELECT MAX(t) FROM {dataset} AS newest WHERE newest.symbol = selected.symbol AND newest.t < ?)",
            symbols,
            (end,),
        )

    def claim(self, dataset: Dataset, symbols: Iterable[str], now_ms: int) -> list[str]:
        """Claim symbols to request, and return them without those that another process has claimed.

        `now_ms` is by a monotonic clock that all processes share. A claim ends with `release`, with its process, or
        after a minute.
        """
        with self._transaction() as connection:
            # Claims that end even later are from before a reboot, which restarts the clock.
            rows = connection.execute(
                "SELECT symbol, owner FROM claims WHERE dataset = ? AND until_ms BETWEEN ? AND ? AND owner <> ?",
                (dataset, now_ms, now_ms + 2 * CLAIM_TIMEOUT_MS, self._owner),
            ).fetchall()
            claimed = {symbol for symbol, owner in rows if pid_exists(int(owner.partition(":")[0]))}
            free = [symbol for symbol in symbols if symbol not in claimed]
            connection.executemany(
                "INSERT OR REPLACE INTO claims VALUES (?, ?, ?, ?)",
                ((dataset, symbol, self._owner, now_ms + CLAIM_TIMEOUT_MS) for symbol in free),
            )
        return free

    def release(self, dataset: Dataset, symbols: Iterable[str]) -> None:
        """Release claims, after the symbols were fetched or failed."""
        with self._transaction() as connection:
            connection.executemany(
                "DELETE FROM claims WHERE dataset = ? AND symbol = ? AND owner = ?",
                ((dataset, symbol, self._owner) for symbol in symbols),
            )

    def prune(self, before: int) -> int:
        """Delete the bars that opened before `before` (UNIX seconds) and their ranges; return the number of bars.

        The file is compacted once a quarter of its pages are free.
        """
        with self._transaction() as connection:
            bars = sum(
                connection.execute(f"DELETE FROM {dataset} WHERE t < ?", (before,)).rowcount  # noqa: S608 - names from SPECS
                for dataset in SPECS
            )
            connection.execute("DELETE FROM asked WHERE through <= ?", (before,))
            connection.execute("UPDATE asked SET start = ? WHERE start < ?", (before, before))
            key = datetime.fromtimestamp(before, UTC).strftime(KEY_FORMAT)
            connection.execute("DELETE FROM refreshes WHERE window < ?", (key,))
        pages, free = (self._query(f"PRAGMA {name}")[0][0] for name in ("page_count", "freelist_count"))
        if free * 4 > pages:
            self._connection.execute("VACUUM")
        return bars

    def save_report(self, window: str, report: str) -> None:
        """Store the report (JSON) of the last refresh of `window`."""
        with self._transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO refreshes VALUES (?, ?)", (window, report))

    def load_report(self, window: str) -> str | None:
        """Return the report (JSON) of the last refresh of `window`, None if there is none."""
        rows = self._query("SELECT report FROM refreshes WHERE window = ?", window)
        return rows[0][0] if rows else None

    def _open(self) -> None:
        try:
            if self._read_only:
                self._connect_read_only()
            else:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._connection = self._connect(self.path)
                self._connection.execute("PRAGMA journal_mode = WAL")
                self._connection.execute("PRAGMA synchronous = NORMAL")
            self._prepare()
        except (sqlite3.Error, OSError) as error:
            raise StoreError(
                f"{self.path} cannot be used ({error}); "
                + (advice_for(error) or "move it away, and its data are fetched again")
            ) from error

    def _connect(self, database: Path | str, *, uri: bool = False) -> sqlite3.Connection:
        return sqlite3.connect(database, timeout=self._lock_timeout_seconds, isolation_level=None, uri=uri)

    def _connect_read_only(self) -> None:
        """Open the file, or an empty database in memory if there is none.

        SQLite creates a log file beside a database that it reads, unless the database is opened as immutable. It is
        opened so if it has no log, or an empty one. `_read` checks that the file did not change meanwhile.
        """
        self._is_immutable, self._identity = True, FileIdentity.at(self.path)
        if self._identity is None:
            self._connection = self._connect(":memory:")
            return
        log = FileIdentity.at(self.path.with_name(f"{self.path.name}-wal"))
        self._is_immutable = log is None or log.size == 0
        mode = "ro&immutable=1" if self._is_immutable else "ro"
        self._connection = self._connect(f"{self.path.absolute().as_uri()}?mode={mode}", uri=True)

    def _prepare(self) -> None:
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version not in {0, VERSION}:
            raise StoreError(
                f"{self.path} is of version {version}, newer than this program supports; update the program"
            )
        if version != VERSION and self._read_only:
            self._connection.close()
            self._connection = self._connect(":memory:")
            create_tables(self._connection)
        elif version != VERSION or (not self._read_only and self._lacks_tables()):
            # not for a complete store of this version, which can be opened on a full disk
            with self._transaction() as connection:
                create_tables(connection)
        self._connection.execute("CREATE TEMP TABLE selected (symbol TEXT PRIMARY KEY)")

    def _lacks_tables(self) -> bool:
        """Return whether a dataset has no table, since it was added after the store was created."""
        rows = self._connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        return not SPECS.keys() <= {name for (name,) in rows}

    def _add_range(self, connection: sqlite3.Connection, fetched: Fetched, symbol: str) -> None:
        """Add the requested range of a symbol, merged with the stored ranges that touch it."""
        key = (fetched.dataset, symbol)
        touching = "dataset = ? AND symbol = ? AND start <= ? AND through >= ?"
        reach = (*key, fetched.through, fetched.start)
        rows = connection.execute(f"SELECT start, through FROM asked WHERE {touching}", reach).fetchall()  # noqa: S608 - a constant
        connection.execute(f"DELETE FROM asked WHERE {touching}", reach)  # noqa: S608 - a constant
        start = min([fetched.start, *(row[0] for row in rows)])
        through = max([fetched.through, *(row[1] for row in rows)])
        connection.execute("INSERT INTO asked VALUES (?, ?, ?, ?)", (*key, start, through))

    def _query_symbols(self, sql: str, symbols: Iterable[str], values: Sequence[object]) -> list[Row]:
        """Run a query that joins the temporary table `selected`, which has the `symbols`."""
        rows = [(symbol,) for symbol in symbols]

        def run_query(connection: sqlite3.Connection) -> list[Row]:
            connection.execute("DELETE FROM selected")
            connection.executemany("INSERT OR IGNORE INTO selected VALUES (?)", rows)
            return connection.execute(sql, values).fetchall()

        return self._read(run_query)

    def _query(self, sql: str, *values: object) -> list[Row]:
        return self._read(lambda connection: connection.execute(sql, values).fetchall())

    def _read(self, query: Callable[[sqlite3.Connection], list[Row]]) -> list[Row]:
        """Run a query, and repeat it if another process has changed a file that was opened as immutable."""
        while True:
            try:
                with self._transaction("DEFERRED") as connection:
                    rows = query(connection)
            except StoreError:
                if not self._has_changed():
                    raise
            else:
                if not self._has_changed():
                    return rows
            self._connection.close()
            self._open()

    def _has_changed(self) -> bool:
        return self._is_immutable and FileIdentity.at(self.path) != self._identity

    @contextmanager
    def _transaction(self, kind: str = "IMMEDIATE") -> Iterator[sqlite3.Connection]:
        if self._read_only and kind == "IMMEDIATE":
            raise StoreError(f"{self.path} is open read-only; nothing was stored")
        try:
            self._connection.execute(f"BEGIN {kind}")
            yield self._connection
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: {error}; {advice_for(error) or 'nothing was stored'}") from error
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
