"""Candle files that go on: those of the simulated market, rewritten after each quarter hour while a program runs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Final, Self

from quant_assets.emulator.candle_files import MARKER, write_candle_files
from quant_assets.emulator.server import system_clock
from quant_assets.emulator.simulated_universe import SimulatedUniverse

QUARTER_SECONDS: Final = 900
#: A bar is written so long after it has closed, as by a scanner that fetches it.
DELAY_SECONDS: Final = 5
#: The clock is looked at again after so long: a machine that slept, or a clock that was set, is noticed.
MAX_WAIT_SECONDS: Final = 30.0


class _Stopped(Exception):
    """The program ends in the middle of writing."""


class CandleKeeper:
    """Keeps a folder of simulated candle files up to date, in a thread, within a `with` block.

    Files that were written before the last quarter hour are rewritten at once. A folder that lost its marker file is
    left alone. `on_error` is told of files that cannot be written; it is tried again at the next quarter hour.
    """

    def __init__(
        self,
        universe: SimulatedUniverse,
        folder: Path,
        *,
        clock: Callable[[], datetime] = system_clock,
        on_error: Callable[[OSError], None] = lambda error: None,  # noqa: ARG005
    ) -> None:
        self._universe = universe
        self._folder = folder
        self._clock = clock
        self._on_error = on_error
        self._stopped = Event()
        self._thread = Thread(target=self._keep, name="candle keeper", daemon=True)

    def __enter__(self) -> Self:
        """Start."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, after the file in hand."""
        self._stopped.set()
        self._thread.join()

    def _keep(self) -> None:
        written = self._last_written()
        while not self._stopped.is_set():
            now = self._clock().timestamp() - DELAY_SECONDS
            due = now // QUARTER_SECONDS * QUARTER_SECONDS
            if written < due:
                self._write()
                written = due
            self._stopped.wait(min(due + QUARTER_SECONDS - now, MAX_WAIT_SECONDS))

    def _last_written(self) -> float:
        """Return when the files were written (UNIX seconds), 0 where that cannot be said."""
        try:
            return (self._folder / MARKER).stat().st_mtime
        except OSError:
            return 0.0

    def _write(self) -> None:
        if not (self._folder / MARKER).is_file():
            return
        try:
            write_candle_files(self._universe, self._folder, self._clock().astimezone(UTC), self._check)
        except _Stopped:
            pass
        except OSError as error:
            self._on_error(error)

    def _check(self, stage: str, done: int, total: int, note: str = "") -> None:  # noqa: ARG002
        if self._stopped.is_set():
            raise _Stopped
