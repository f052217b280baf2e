"""Which exchanges and markets to fetch: data/exchanges.toml."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, create_model

from quant_assets.common.files import replace_file
from quant_assets.common.toml_config import read_config, validate_config
from quant_assets.providers.exchanges.catalogue import EXCHANGE_APIS, unknown_exchange

#: A year of quarter hours for a market is 35,000 bars, and for a thousand of them some gigabytes.
MAX_HISTORY_DAYS: Final = 3660


class ExchangesConfigError(ValueError):
    """An invalid data/exchanges.toml; the message names the file, the key, what is wrong and what would do."""


def _exchange(name: str) -> str:
    if name not in EXCHANGE_APIS:
        raise ValueError(unknown_exchange(name))
    return name


def _each_once(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _pattern(text: str) -> str:
    exchange, colon, symbol = text.partition(":")
    if not (exchange and colon and symbol):
        raise ValueError(f"{text!r} is not EXCHANGE:SYMBOL, such as BINANCE:BTCUSDT or *:USDCUSDT")
    return text


class MarketChoice(BaseModel):
    """Which markets of an exchange are fetched.

    Attributes:
        quotes: assets in which markets are quoted or settled.
        min_quote_volume_24h: min turnover of 24 hours in the quote asset.
        top: at most so many markets, those with the largest turnover.
        history_days: days of bars before the first fetch.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    quotes: tuple[str, ...] = Field(default=("USDT", "USDC", "USD"), min_length=1)
    min_quote_volume_24h: float = Field(default=1_000_000, ge=0)
    top: int = Field(default=300, ge=1)
    history_days: float = Field(default=60, ge=1, le=MAX_HISTORY_DAYS)


class ExchangesConfig(MarketChoice):
    """The content of data/exchanges.toml.

    `exchanges` are those to fetch; none by default. `include` and `exclude` are patterns `EXCHANGE:SYMBOL` with `*`
    for any text; an excluded market is not fetched, even if it is included. A table with an exchange's name has other
    values for it.
    """

    exchanges: Annotated[tuple[Annotated[str, AfterValidator(_exchange)], ...], AfterValidator(_each_once)] = ()
    include: tuple[Annotated[str, AfterValidator(_pattern)], ...] = ()
    exclude: tuple[Annotated[str, AfterValidator(_pattern)], ...] = ()
    overrides: Mapping[str, MarketChoice] = {}

    def of(self, exchange: str) -> MarketChoice:
        """Return the choice of an exchange's markets."""
        return self.overrides.get(exchange, self)

    def includes(self, exchange: str, symbol: str) -> bool:
        """Return whether a market is fetched whatever its turnover."""
        return _matches(self.include, exchange, symbol)

    def excludes(self, exchange: str, symbol: str) -> bool:
        """Return whether a market is never fetched."""
        return _matches(self.exclude, exchange, symbol)


#: The file's keys. Each exchange's table is a field, so that an unknown key in it is named with its place.
_FIELDS: Final[dict[str, Any]] = {
    **{name: (field.annotation, field) for name, field in ExchangesConfig.model_fields.items() if name != "overrides"},
    **{name: (MarketChoice, MarketChoice()) for name in EXCHANGE_APIS},
}
_File: Final[type[BaseModel]] = create_model("_File", __config__=ConfigDict(frozen=True, extra="forbid"), **_FIELDS)


def load_exchanges(path: Path) -> ExchangesConfig:
    """Read data/exchanges.toml, the defaults if it does not exist. Raise ExchangesConfigError."""
    if not path.exists() and not path.is_symlink():
        return ExchangesConfig()
    content = read_config(path, ExchangesConfigError)
    common = {key: value for key, value in content.items() if key in MarketChoice.model_fields}
    # What an exchange's table leaves out is what the file says for all.
    tables = {
        key: {**common, **value} if key in EXCHANGE_APIS and isinstance(value, Mapping) else value
        for key, value in content.items()
    }
    file = validate_config(tables, path, _File, ExchangesConfigError)
    found: dict[str, Any] = {name: getattr(file, name) for name in ExchangesConfig.model_fields if name != "overrides"}
    overrides = {name: getattr(file, name) for name in EXCHANGE_APIS if name in content}
    return ExchangesConfig(**found, overrides=overrides)


def write_exchanges(
    path: Path,
    exchanges: Sequence[str],
    top: int = 0,
    history_days: float = 0.0,
    min_quote_volume_24h: float | None = None,
) -> None:
    """Write a file that fetches the `top` markets of some exchanges; 0 or None for the default of a key.

    Raise FileExistsError rather than replace a file, and WriteError, which leaves none.
    """
    names = orjson.dumps(list(exchanges)).decode().replace(",", ", ")
    lines = [f"exchanges = {names}"]
    lines += [f"top = {top}  # of each exchange, by turnover"] if top else []
    lines += [f"history_days = {history_days:g}"] if history_days else []
    lines += [f"min_quote_volume_24h = {min_quote_volume_24h:g}"] if min_quote_volume_24h is not None else []
    if path.exists():
        raise FileExistsError(path)
    replace_file(path, "".join(f"{line}\n" for line in lines).encode())


def _matches(patterns: tuple[str, ...], exchange: str, symbol: str) -> bool:
    return any(fnmatchcase(f"{exchange}:{symbol}", pattern) for pattern in patterns)
