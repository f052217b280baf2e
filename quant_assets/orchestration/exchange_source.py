"""The resource through which assets reach exchanges: their configuration, connections and stored bars."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import dagster as dg
from pydantic import Field

from quant_assets.candles.bar_store import BarStore
from quant_assets.candles.exchanges.config import ExchangesConfig, ExchangesConfigError, load_exchanges
from quant_assets.candles.exchanges.connections import CONNECTIONS, check_exchange_urls, connected
from quant_assets.common.clock import Clock
from quant_assets.common.settings import LOOPBACK_ORIGIN, VARIABLES, Settings, database_url_of
from quant_assets.providers.exchanges.catalogue import EXCHANGE_APIS
from quant_assets.storage.lake import Lake
from quant_assets.storage.origins import foreign_origin, record_origin, recorded_origins

if TYPE_CHECKING:
    from quant_assets.providers.exchanges.client import ExchangeClient


#: Market lists are fetched hourly: a little less, since a fetch starts some seconds early or late.
MAX_LIST_AGE_MS: Final = 55 * 60_000


class ExchangeSource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The exchanges whose candles are fetched."""

    data_dir: str = Field(description="Data folder, with exchanges.toml.")
    budget_dir: str | None = Field(default=None, description="Folder of the request budgets, if not the data folder.")
    lake_url: str | None = Field(default=None, description="Where tables are kept, if not in the data folder.")
    database_variable: str = Field(
        default="", description="Name of the environment variable with the address of the database, if there is one."
    )
    addresses: dict[str, str] = Field(default={}, description="Addresses in place of exchanges' own, by exchange.")

    @property
    def settings(self) -> Settings:
        """Return the settings of connections."""
        return Settings(
            data_dir=Path(self.data_dir),
            budget_dir=None if self.budget_dir is None else Path(self.budget_dir),
            lake_url=self.lake_url,
            database_url=database_url_of(self.database_variable),
            exchange_urls=self.addresses,
        )

    def config(self) -> ExchangesConfig:
        """Return the user's choice of exchanges and markets. Raise ExchangesConfigError."""
        check_exchange_urls(self.settings)
        return load_exchanges(self.settings.exchanges_path)

    def chosen_exchanges(self) -> tuple[str, ...]:
        """Return the exchanges to fetch; none if the file is invalid, which each fetch reports."""
        try:
            return self.config().exchanges
        except ExchangesConfigError:
            return ()

    def store(self) -> BarStore:
        """Return the bars of all exchanges."""
        return bar_store(self.settings)

    def simulated(self) -> set[str]:
        """Return the exchanges whose stored bars come from an emulator. Raise OriginError."""
        origins = recorded_origins(self.settings)
        return {exchange for exchange in EXCHANGE_APIS if origins.get(exchange) == LOOPBACK_ORIGIN}

    def is_simulated(self, exchange: str) -> bool:
        """Return whether what an exchange is asked for now comes from an emulator."""
        return self.settings.exchange_origin(exchange) == LOOPBACK_ORIGIN

    @contextmanager
    def connected(self, exchange: str, clock: Clock, count: int = CONNECTIONS) -> Iterator[list[ExchangeClient]]:
        """Connect to an exchange, and record where its data come from if it gave any, also if the block fails.

        Raise BudgetUnusable, and dg.Failure if the data folder holds data of another origin of the exchange.
        """
        settings = self.settings
        origin = settings.exchange_origin(exchange)
        if problem := foreign_origin(settings, exchange, origin, VARIABLES["exchange_urls"]):
            raise dg.Failure(problem, metadata={"error": "OriginError"}, allow_retries=False)
        with connected(settings, exchange, count, clock=clock) as clients:
            try:
                yield clients
            finally:
                if any(client.has_response for client in clients):
                    record_origin(settings, exchange, origin)


def bar_store(settings: Settings) -> BarStore:
    """Return the store of exchanges' bars in a data folder."""
    return BarStore(Lake(settings.lake_place), settings.database or settings.locks_dir)


def lists_are_due(settings: Settings, config: ExchangesConfig, now: datetime) -> bool:
    """Return whether the market lists must be fetched before candles.

    That is once an hour, if one of the exchanges has no list, and after a change of exchanges.toml.
    """
    markets = Lake(settings.lake_place).read_undamaged(["exchange_markets"])
    if markets is None:
        return True
    rows = markets[markets["exchange"].isin(config.exchanges)]
    changed_ms = settings.exchanges_path.stat().st_mtime * 1000 if settings.exchanges_path.is_file() else 0.0
    min_fetched_at_ms = max(changed_ms, now.timestamp() * 1000 - MAX_LIST_AGE_MS)
    return set(rows["exchange"]) != set(config.exchanges) or bool((rows["fetched_at_ms"] < min_fetched_at_ms).any())
