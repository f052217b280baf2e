"""Fixtures: an emulator with plain markets, with a symbol map, a store and a client."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from pydantic import SecretStr

from quant_assets.common.windows import Window
from quant_assets.derivatives.datasets import ENTRIES
from quant_assets.derivatives.refresh import Refresh
from quant_assets.derivatives.refresh_options import RefreshOptions
from quant_assets.derivatives.report import RefreshReport
from quant_assets.derivatives.store import DerivativesStore
from quant_assets.emulator import DEFAULT_KEY, Emulator, Universe
from quant_assets.markets import market_list_table, resolve_markets
from quant_assets.providers import base as providers
from quant_assets.providers.base import ProviderClient
from quant_assets.providers.budget import CallBudget
from quant_assets.providers.coinalyze.client import CoinalyzeClient

#: Six seconds after the end of the window 17:30.
NOW = datetime(2026, 1, 19, 17, 45, 6, tzinfo=UTC)


@dataclass
class MovableClock:
    """The clock that emulator, client and refresh of a test share."""

    moment: datetime = NOW

    def seconds(self) -> float:
        return self.moment.timestamp()

    def sleep(self, seconds: float) -> None:
        self.moment = datetime.fromtimestamp(self.seconds() + seconds, UTC)

    def __call__(self) -> datetime:
        return self.moment


@dataclass
class Provider:
    """An emulator with a client and a store, on one virtual clock."""

    emulator: Emulator
    clock: MovableClock
    folder: Path
    stack: ExitStack
    calls_per_minute: int
    markets: pd.DataFrame = field(init=False)
    market_list: pd.DataFrame = field(init=False)

    def __post_init__(self) -> None:
        rows = [listing.row for listing in self.emulator.universe.listings.values()]
        codes = {row.exchange for row in rows}
        names = {"A": "Binance", "6": "Bybit", "H": "Hyperliquid", "3": "OKX", "Y": "Gate.io"}
        self.market_list = market_list_table(
            [(code, names[code]) for code in codes], [row.body() for row in rows], self.clock.moment
        )
        self.markets = pd.DataFrame(
            {
                "exchange": [names[row.exchange].upper() for row in rows],
                "symbol": [row.symbol_on_exchange for row in rows],
            }
        )

    def resolve(self, empty: Mapping[str, set[str]]) -> pd.DataFrame:
        return resolve_markets(self.markets, self.market_list, datasets=ENTRIES, now=self.clock.moment, empty=empty)

    def client(self, key: str | None = DEFAULT_KEY, url: str = "", **options: object) -> CoinalyzeClient:
        budget = CallBudget(
            self.folder / "budget.sqlite", self.calls_per_minute, clock=self.clock.seconds, sleep=self.clock.sleep
        )
        self.stack.callback(budget.close)
        client = CoinalyzeClient(
            None if key is None else SecretStr(key),
            url or self.emulator.url,
            budget,
            clock=self.clock.seconds,
            sleep=self.clock.sleep,
            **options,  # type: ignore[arg-type]
        )
        return self.stack.enter_context(closing(client))

    def connect(self, _: providers.Provider) -> AbstractContextManager[ProviderClient]:
        return closing(self.client())

    def store(self) -> DerivativesStore:
        return self.stack.enter_context(closing(DerivativesStore(self.folder / "derivatives.sqlite")))

    def refresh(self, **options: object) -> tuple[pd.DataFrame, RefreshReport]:
        client = options.pop("client", None) or self.client()
        store = options.pop("store", None) or self.store()
        window = options.pop("window", None) or Window.last_complete(self.clock.moment)
        given = {name: options.pop(name) for name in ("watchlist", "progress") if name in options}
        since_ms = float(self.market_list["fetched_at_ms"].iloc[0])
        return Refresh(
            store,  # type: ignore[arg-type]
            client,  # type: ignore[arg-type]
            self.resolve,
            RefreshOptions(window, since_ms, **options),  # type: ignore[arg-type]
            clock=self.clock.seconds,
            **given,  # type: ignore[arg-type]
        ).run()


@pytest.fixture
def provide(tmp_path: Path) -> Iterator[Callable[..., Provider]]:
    with ExitStack() as stack:

        def make(universe: Universe, calls_per_minute: int = 6000) -> Provider:
            clock = MovableClock()
            emulator = stack.enter_context(Emulator(universe, calls_per_minute=calls_per_minute, clock=clock))
            return Provider(emulator, clock, tmp_path, stack, calls_per_minute)

        yield make
