"""Serve several exchanges of one universe, each on its own port."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime
from types import TracebackType
from typing import Self

from quant_assets.emulator.exchanges.emulator import ExchangeEmulator
from quant_assets.emulator.exchanges.registry import APIS
from quant_assets.emulator.exchanges.universe import ExchangeUniverse
from quant_assets.emulator.local_service import system_clock


class ExchangeEmulators:
    """The exchanges of a universe, each on its own port, running within a `with` block.

    `names` are those to serve, all by default; `ports` gives an exchange a fixed port. Raises KeyError for a name
    that is not known, OSError for a port in use.
    """

    def __init__(
        self,
        universe: ExchangeUniverse,
        *,
        clock: Callable[[], datetime] = system_clock,
        names: Iterable[str] | None = None,
        ports: Mapping[str, int] | None = None,
        limits_factor: float = 1.0,
    ) -> None:
        self.universe = universe
        chosen = tuple(APIS) if names is None else tuple(names)
        with ExitStack() as stack:
            self._exchanges: dict[str, ExchangeEmulator] = {}
            for name in chosen:
                exchange = ExchangeEmulator(
                    APIS[name],
                    universe.contracts(name),
                    clock=clock,
                    port=(ports or {}).get(name, 0),
                    limits_factor=limits_factor,
                )
                stack.callback(exchange.stop)
                self._exchanges[name] = exchange
            stack.pop_all()  # all ports are open: they are closed at the end of the block

    @property
    def urls(self) -> dict[str, str]:
        """Return the base URLs by exchange name, as `QUANT_EXCHANGE_URLS` has them."""
        return {name: exchange.url for name, exchange in self._exchanges.items()}

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the exchanges."""
        return tuple(self._exchanges)

    def __getitem__(self, name: str) -> ExchangeEmulator:
        """Return one exchange; raise KeyError."""
        return self._exchanges[name]

    def __enter__(self) -> Self:
        """Start all."""
        for exchange in self._exchanges.values():
            exchange.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop all, at once."""
        with ThreadPoolExecutor(len(self._exchanges) or 1) as pool:
            for exchange in self._exchanges.values():
                pool.submit(exchange.stop)
