"""What the project needs of a provider of derivative data: its protocols, and what its responses are made of.

docs/providers.md shows how to add one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from quant_assets.common.clock import Clock
from quant_assets.common.settings import Settings
from quant_assets.providers.budget import CallBudget

Row = TypeVar("Row")
SymbolFilter = Callable[[Sequence[str]], Sequence[str]]
"""Returns the symbols that are still to be requested, of those whose calls were acquired."""


@dataclass(slots=True)
class Usage:
    """What a client has spent: `calls` counts symbols as the provider does, `requests` counts HTTP requests."""

    calls: int = 0
    requests: int = 0
    rate_limited: int = 0
    retries: int = 0


@dataclass(frozen=True, slots=True)
class Exchange:
    """An exchange of a market list: its code there, and its name."""

    code: str
    name: str


@dataclass(frozen=True, slots=True)
class Market:
    """A market of a market list. `expire_at` is epoch ms, None for never.

    `symbol` is the provider's, and `exchange` the code of the exchange. `margined` is STABLE or COIN, and
    `oi_lq_vol_denominated_in` the unit of amounts, BASE_ASSET or QUOTE_ASSET.
    """

    symbol: str
    exchange: str
    symbol_on_exchange: str
    base_asset: str
    quote_asset: str
    is_perpetual: bool = True
    margined: str = "STABLE"
    expire_at: int | None = None
    oi_lq_vol_denominated_in: str = "BASE_ASSET"
    has_long_short_ratio_data: bool = True
    has_ohlcv_data: bool = True
    has_buy_sell_data: bool = True


@dataclass(frozen=True, slots=True)
class MarketList:
    """The markets of a provider and their exchanges, how many rows were invalid, and whether an emulator sent them."""

    exchanges: tuple[Exchange, ...]
    markets: tuple[Market, ...]
    invalid: int = 0
    simulated: bool = False


@dataclass(frozen=True, slots=True)
class History:
    """One symbol's bars, ascending by time and without duplicates.

    A point is `(t, *values)`: t is the UNIX second at which the 15-minute bar opens.
    """

    symbol: str
    points: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class ApiResponse(Generic[Row]):
    """The rows of one response, how many rows or points were invalid and skipped, and whether an emulator sent it.

    `responded_at` is the provider's time of the response (UNIX seconds), None if the response has no valid `Date`.
    """

    rows: tuple[Row, ...]
    invalid: int
    simulated: bool
    responded_at: float | None = None


class RequestedDataset(Protocol):
    """What a provider needs to know of a dataset: its entry in the registry of datasets."""

    @property
    def name(self) -> str:
        """Its name, such as open_interest."""

    @property
    def endpoint(self) -> str:
        """What the provider calls it."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The values of a bar, in the order of a point."""


class ProviderClient(Protocol):
    """An open connection to a provider, for one run.

    Each request, retries included, must acquire its calls from `budget` before it is sent. All methods raise
    ProviderError: its subclasses say what a refresh does then (quant_assets/providers/errors.py). No message may
    contain a key.
    """

    usage: Usage
    budget: CallBudget

    def market_list(self, *, deadline: float | None = None) -> MarketList:
        """Fetch the markets. `deadline` is in seconds of the budget's clock."""

    def bars(
        self,
        dataset: RequestedDataset,
        symbols: Sequence[str],
        *,
        start: int,
        end: int,
        deadline: float | None = None,
        still_needed: SymbolFilter | None = None,
        on_wait: Callable[[float], None] | None = None,
    ) -> tuple[ApiResponse[History], tuple[str, ...]]:
        """Fetch the 15-minute bars of symbols from `start` to `end` (UNIX seconds, inclusive), in one request.

        `still_needed` must be called with the symbols once their calls are acquired, and only the symbols that it
        returns may be requested, since another process may have fetched some meanwhile. Return the response, and the
        symbols that were requested. A symbol without data is missing in the response. `on_wait` may be called with
        the seconds until the next call is available.
        """

    def close(self) -> None:
        """Close the connections. The caller closes the budget."""


class Provider(Protocol):
    """A provider of derivative data. A package registers its class as an entry point of `quant_assets.providers`.

    Symbols of an added provider must begin with its name and a colon. Symbols without a colon are Coinalyze's.
    """

    @property
    def name(self) -> str:
        """Its name in `data/providers.toml`, tables and feed: lower-case letters, digits, underscores."""

    @property
    def label(self) -> str:
        """Its name for people."""

    @property
    def url(self) -> str:
        """Its web page, to which the dashboard links."""

    @property
    def symbols_per_request(self) -> int:
        """The maximum number of symbols of a request."""

    def origin(self, settings: Settings) -> str:
        """Return whose data it fetches: the host name, or `loopback` for an emulator."""

    def calls_per_minute(self, settings: Settings) -> int:
        """Return its limit. Each symbol of a request counts as a call."""

    def has_key(self, settings: Settings, environment: Mapping[str, str]) -> bool:
        """Return whether a key is set; True if none is needed."""

    def find_problem(self, dataset: RequestedDataset) -> str:
        """Return why it cannot serve a dataset, like `is not one of …`; "" if it can."""

    def connect(self, settings: Settings, budget: CallBudget, clock: Clock) -> ProviderClient:
        """Return a client. A missing key is an error of its methods."""
