"""Rewrite the simulated candle files after each 15-minute bar while a program runs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Final, Self

from quant_assets.emulator.candle_files import MARKER, write_candle_files
from quant_assets.emulator.local_service import system_clock
from quant_assets.emulator.simulated_universe import SimulatedUniverse

BAR_SECONDS: Final = 900
#: Delay between a bar's close and its writing, as with a real scraper.
DELAY_SECONDS: Final = 5
#: The clock is read at least this often, in case the machine slept or the clock was set.
MAX_WAIT_SECONDS: Final = 30.0


class _Stopped(Exception):
    """The updater was stopped while it was writing."""


class CandleUpdater:
    """Keep a folder of simulated candle files up to date in a thread, within a `with` block.

    Files that lack the last closed bar are rewritten at once. A folder without the marker file is left unchanged.
    `on_error` receives write errors; the next try is after the next bar.
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
        self._thread = Thread(target=self._run, name="candle updater", daemon=True)

    def __enter__(self) -> Self:
        """Start."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop after the file that is being written."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        written = self._written_at()
        while not self._stopped.is_set():
            now = self._clock().timestamp() - DELAY_SECONDS
            due = now // BAR_SECONDS * BAR_SECONDS
            if written < due:
                self._write()
                written = due
            self._stopped.wait(min(due + BAR_SECONDS - now, MAX_WAIT_SECONDS))

    def _written_at(self) -> float:
        """Return when the files were last written (UNIX seconds), 0 if unknown."""
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
