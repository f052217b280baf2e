"""What has been fetched, kept so that nothing is paid for twice.

Each answer is stored in one transaction, so a crash loses at most the answer in flight.
"""

from __future__ import annotations

import os
import sqlite3
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from quant_assets.common.files import advice_for
from quant_assets.common.processes import pid_exists
from quant_assets.common.windows import KEY_FORMAT
from quant_assets.derivatives.datasets import SPECS, Dataset
from quant_assets.derivatives.tables import VERSION, create_tables

BUSY_SECONDS: Final = 60.0
CLAIM_MS: Final = 60_000
#: An empty answer says something of a symbol where it speaks of the last day.
A_DAY: Final = 86_400
MARK_SIMULATED: Final = "INSERT OR IGNORE INTO facts VALUES ('simulated', '1')"

Point = tuple[float, ...]
Row = tuple[Any, ...]
#: Modification time, size and inode of a file.
FileVersion = tuple[int, int, int]
MISSING: Final[FileVersion] = (0, 0, 0)


class StoreError(RuntimeError):
    """The store cannot be used; the message names the file and what to do with it."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """One answer to be stored.

    `asked` are the symbols of the request, `bars` the closed bars `(t, *values)` of those that were in the answer,
    which may be none.
    All bars from `start` to `through` (UNIX seconds) that were closed at `at_ms` had been asked for.
    """

    dataset: Dataset
    asked: tuple[str, ...]
    bars: Mapping[str, Sequence[Point]]
    start: int
    through: int
    at_ms: int
    simulated: bool


class DerivativesStore:
    """The SQLite file at `path`, created where it is missing. Several processes may use it at once.

    With `read_only` nothing is created or changed, no file beside the store either, and the folder need not be
    writable. A missing store is an empty one then, and methods that write raise StoreError.
    """

    def __init__(self, path: Path, *, read_only: bool = False, busy_seconds: float = BUSY_SECONDS) -> None:
        self.path = path
        self._read_only = read_only
        self._busy_seconds = busy_seconds
        self._snapshot: FileVersion | None = None
        self._owner = f"{os.getpid()}:{uuid.uuid4().hex}"
        self._open()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def add(self, fetched: Fetched) -> None:
        """Store one answer: its bars, the range that is known now, and who came back empty."""
        spec = SPECS[fetched.dataset]
        marks = ", ".join("?" * (2 + len(spec.columns)))
        with self._transaction() as connection:
            connection.executemany(
                f"INSERT OR REPLACE INTO {fetched.dataset} VALUES ({marks})",  # noqa: S608 - names from SPECS
                ((symbol, *bar) for symbol, bars in fetched.bars.items() for bar in bars),
            )
            for symbol in fetched.asked:
                self._extend(connection, fetched, symbol)
                if fetched.bars.get(symbol):
                    connection.execute("DELETE FROM empty WHERE dataset = ? AND symbol = ?", (fetched.dataset, symbol))
                elif fetched.through >= fetched.at_ms / 1000 - A_DAY:
                    connection.execute(
                        "INSERT INTO empty VALUES (?, ?, ?, NULL) ON CONFLICT (dataset, symbol)"
                        " DO UPDATE SET previous_ms = last_ms, last_ms = excluded.last_ms",
                        (fetched.dataset, symbol, fetched.at_ms),
                    )
            connection.executemany(
                "INSERT OR IGNORE INTO seen VALUES (?, ?)", ((fetched.dataset, symbol) for symbol in fetched.bars)
            )
            if fetched.simulated:
                connection.execute(MARK_SIMULATED)

    def mark_simulated(self) -> None:
        """Remember that this provider is an emulator."""
        with self._transaction() as connection:
            connection.execute(MARK_SIMULATED)

    @property
    def simulated(self) -> bool:
        """Whether anything in here was made up by an emulator."""
        return bool(self._rows("SELECT 1 FROM facts WHERE name = 'simulated'"))

    def known(self, dataset: Dataset, symbols: Iterable[str], start: int) -> dict[str, int]:
        """Return, by symbol, through when (UNIX seconds) everything from `start` on is known."""
        return dict(
            self._joined(
                "SELECT asked.symbol, MAX(asked.through) FROM wanted JOIN asked"
                " ON asked.dataset = ? AND asked.symbol = wanted.symbol AND asked.start <= ? GROUP BY asked.symbol",
                symbols,
                (dataset, start),
            )
        )

    def seen(self, dataset: Dataset) -> set[str]:
        """Return the symbols that were in an answer, be it without a bar: the provider serves this dataset of them."""
        return {row[0] for row in self._rows("SELECT symbol FROM seen WHERE dataset = ?", dataset)}

    def empty_twice(self, since_ms: float) -> dict[str, set[str]]:
        """Return, for each dataset, the symbols whose last two answers, both since `since_ms`, had nothing."""
        found: dict[str, set[str]] = {dataset: set() for dataset in SPECS}
        for dataset, symbol in self._rows("SELECT dataset, symbol FROM empty WHERE previous_ms >= ?", since_ms):
            found[dataset].add(symbol)
        return found

    def bars(self, dataset: Dataset, symbols: Iterable[str], start: int, end: int) -> list[Row]:
        """Return `(symbol, t, *values)` of the bars that open in [start, end), by symbol and time."""
        columns = ", ".join(f"bars.{name}" for name in SPECS[dataset].columns)
        return self._joined(
            f"SELECT bars.symbol, bars.t, {columns} FROM wanted JOIN {dataset} AS bars"  # noqa: S608 - names from SPECS
            " ON bars.symbol = wanted.symbol AND bars.t >= ? AND bars.t < ? ORDER BY bars.symbol, bars.t",
            symbols,
            (start, end),
        )

    def last_bars(self, dataset: Dataset, symbols: Iterable[str], end: int) -> list[Row]:
        """Return `(symbol, t, *values)` of each symbol's newest bar that opens before `end` (UNIX seconds)."""
        columns = ", ".join(f"bars.{name}" for name in SPECS[dataset].columns)
        return self._joined(
            f"SELECT bars.symbol, bars.t, {columns} FROM wanted JOIN {dataset} AS bars"  # noqa: S608 - names from SPECS
            " ON bars.symbol = wanted.symbol AND bars.t ="
            f" (SELECT MAX(t) FROM {dataset} AS newest WHERE newest.symbol = wanted.symbol AND newest.t < ?)",
            symbols,
            (end,),
        )

    def claim(self, dataset: Dataset, symbols: Iterable[str], now_ms: int) -> list[str]:
        """Take symbols to ask for and return them; those that another process is asking for are left out.

        `now_ms` is by a clock that nobody sets, alike for all processes here. A claim ends with `release`, with its
        process, or after a minute, whichever comes first.
        """
        with self._transaction() as connection:
            # Claims that end later still are of before the machine was started, and with it the clock.
            rows = connection.execute(
                "SELECT symbol, owner FROM claims WHERE dataset = ? AND until_ms BETWEEN ? AND ? AND owner <> ?",
                (dataset, now_ms, now_ms + 2 * CLAIM_MS, self._owner),
            ).fetchall()
            taken = {symbol for symbol, owner in rows if pid_exists(int(owner.partition(":")[0]))}
            free = [symbol for symbol in symbols if symbol not in taken]
            connection.executemany(
                "INSERT OR REPLACE INTO claims VALUES (?, ?, ?, ?)",
                ((dataset, symbol, self._owner, now_ms + CLAIM_MS) for symbol in free),
            )
        return free

    def release(self, dataset: Dataset, symbols: Iterable[str]) -> None:
        """Give back what was claimed: it is known now, or could not be had."""
        with self._transaction() as connection:
            connection.executemany(
                "DELETE FROM claims WHERE dataset = ? AND symbol = ? AND owner = ?",
                ((dataset, symbol, self._owner) for symbol in symbols),
            )

    def prune(self, before: int) -> int:
        """Forget bars that opened before `before` (UNIX seconds), and that they were ever asked for.

        Returns how many bars went. The file gives its pages back once a quarter of them is free.
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
        pages, free = (self._rows(f"PRAGMA {name}")[0][0] for name in ("page_count", "freelist_count"))
        if free * 4 > pages:
            self._connection.execute("VACUUM")
        return bars

    def save_report(self, window: str, report: str) -> None:
        """Keep what the last refresh of `window` has to tell (JSON)."""
        with self._transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO refreshes VALUES (?, ?)", (window, report))

    def report(self, window: str) -> str | None:
        """Return what the last refresh of `window` had to tell (JSON), None where there was none."""
        rows = self._rows("SELECT report FROM refreshes WHERE window = ?", window)
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
                + (advice_for(error) or "move it away, and what it knew is fetched again")
            ) from error

    def _connect(self, database: Path | str, *, uri: bool = False) -> sqlite3.Connection:
        return sqlite3.connect(database, timeout=self._busy_seconds, isolation_level=None, uri=uri)

    def _connect_read_only(self) -> None:
        """Open the file, or an empty database in memory where there is none.

        SQLite leaves an empty log beside a file that it reads, unless it is told that the file is immutable. It is
        told so where there is no log, or nothing in it, and `_read` checks that it was true.
        """
        self._snapshot = _version(self.path)
        if self._snapshot == MISSING:
            self._connection = self._connect(":memory:")
            return
        _, log_size, _ = _version(self.path.with_name(f"{self.path.name}-wal"))
        if log_size > 0:
            self._snapshot = None
        mode = "ro" if log_size > 0 else "ro&immutable=1"
        self._connection = self._connect(f"{self.path.absolute().as_uri()}?mode={mode}", uri=True)

    def _prepare(self) -> None:
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version not in {0, VERSION}:
            raise StoreError(f"{self.path} is of version {version}, newer than this program knows; update it")
        if version != VERSION and self._read_only:
            self._connection.close()
            self._connection = self._connect(":memory:")
            create_tables(self._connection)
        elif version != VERSION:  # a store that is there is read on a full disk too
            with self._transaction() as connection:
                create_tables(connection)
        self._connection.execute("CREATE TEMP TABLE wanted (symbol TEXT PRIMARY KEY)")

    def _extend(self, connection: sqlite3.Connection, fetched: Fetched, symbol: str) -> None:
        """Put the asked range in, melted together with those it touches."""
        key = (fetched.dataset, symbol)
        touching = "dataset = ? AND symbol = ? AND start <= ? AND through >= ?"
        reach = (*key, fetched.through, fetched.start)
        rows = connection.execute(f"SELECT start, through FROM asked WHERE {touching}", reach).fetchall()  # noqa: S608 - a constant
        connection.execute(f"DELETE FROM asked WHERE {touching}", reach)  # noqa: S608 - a constant
        start = min([fetched.start, *(row[0] for row in rows)])
        through = max([fetched.through, *(row[1] for row in rows)])
        connection.execute("INSERT INTO asked VALUES (?, ?, ?, ?)", (*key, start, through))

    def _joined(self, sql: str, symbols: Iterable[str], values: Sequence[object]) -> list[Row]:
        """Run a query that joins the table `wanted`, which holds `symbols`."""
        wanted = [(symbol,) for symbol in symbols]

        def query(connection: sqlite3.Connection) -> list[Row]:
            connection.execute("DELETE FROM wanted")
            connection.executemany("INSERT OR IGNORE INTO wanted VALUES (?)", wanted)
            return connection.execute(sql, values).fetchall()

        return self._read(query)

    def _rows(self, sql: str, *values: object) -> list[Row]:
        return self._read(lambda connection: connection.execute(sql, values).fetchall())

    def _read(self, query: Callable[[sqlite3.Connection], list[Row]]) -> list[Row]:
        """Run a query; once more where it was told that the file is immutable, and another process has written it."""
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
        return self._snapshot is not None and _version(self.path) != self._snapshot

    @contextmanager
    def _transaction(self, kind: str = "IMMEDIATE") -> Iterator[sqlite3.Connection]:
        if self._read_only and kind == "IMMEDIATE":
            raise StoreError(f"{self.path} was opened for reading alone; nothing of it was stored")
        try:
            self._connection.execute(f"BEGIN {kind}")
            yield self._connection
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            raise StoreError(f"{self.path}: {error}; {advice_for(error) or 'nothing of it was stored'}") from error
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")


def _version(path: Path) -> FileVersion:
    with suppress(FileNotFoundError, NotADirectoryError):
        state = path.stat()
        return state.st_mtime_ns, state.st_size, state.st_ino
    return MISSING
