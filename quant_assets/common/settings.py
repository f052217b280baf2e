"""Settings from environment variables: API key, address, rate limit and folders."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import orjson
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, ValidationInfo, field_validator

from quant_assets.common.addresses import LOOPBACK_HOSTS, exchange_address_problem, object_url_problem
from quant_assets.common.database_server import DatabaseServer, database_url_problem
from quant_assets.common.text import is_utf8

KEY_VARIABLE = "COINALYZE_API_KEY"
WEBHOOK_VARIABLE = "QUANT_WEBHOOK_URL"
DEFAULT_BASE_URL = "https://api.coinalyze.net/v1"
LOOPBACK_ORIGIN = "loopback"
#: The host names a folder of the store, so only labels between single dots, or an IPv6 address, are accepted.
_HOST = re.compile(r"[\w-]+(\.[\w-]+)*\.?|[0-9a-f.]*:[0-9a-f:.]+")

#: A month.
MAX_WINDOWS_PER_RUN = 2976
MAX_CALLS_PER_MINUTE = 1_000_000
_WHOLE_NUMBERS = {"windows_per_run": MAX_WINDOWS_PER_RUN, "calls_per_minute": MAX_CALLS_PER_MINUTE}
VARIABLES = {
    "base_url": "COINALYZE_BASE_URL",
    "calls_per_minute": "COINALYZE_CALLS_PER_MINUTE",
    "data_dir": "QUANT_DATA_DIR",
    "candles_dir": "QUANT_CANDLES_DIR",
    "budget_dir": "QUANT_BUDGET_DIR",
    "lake_url": "QUANT_LAKE_URL",
    "database_url": "QUANT_DATABASE_URL",
    "feed_url": "QUANT_FEED_URL",
    "strategies_dir": "QUANT_STRATEGIES_DIR",
    "exchange_urls": "QUANT_EXCHANGE_URLS",
    "windows_per_run": "QUANT_WINDOWS_PER_RUN",
}


def database_folder_problem(folder: Path) -> str:
    """Return why Dagster cannot keep SQLite databases in a folder of this name, "" if it can."""
    name = str(folder)
    if "?" in name:
        return "must not contain a question mark, which ends the address of a database; choose another folder"
    return "" if is_utf8(name) else "is not valid UTF-8; choose another folder"


class SettingsError(ValueError):
    """An environment variable has an invalid value; the message names the variable and what it accepts."""


class Settings(BaseModel):
    """The settings of a command or a code location.

    `calls_per_minute` is the provider's limit; each symbol of a request counts as a call. Everything is written below
    `data_dir`, but the tables if they are at `lake_url`, the feed if it is at `feed_url`, fetched data and call budgets
    if they are in the database at `database_url`, and otherwise the call budgets if they are in `budget_dir`, to be
    shared by data folders that use the same key. Candle files are read from `candles_dir`. `exchange_urls` are
    addresses that take the place of exchanges' own, by their names. The Python files of `strategies_dir` are loaded as
    strategies. A run of a backfill has at most `windows_per_run` windows. `origin` is the provider whose data
    `data_dir` holds, if that is not the provider of `base_url`; then nothing is fetched
    (quant_assets/storage/origins.py). The API key is not stored here: it is read from the environment variable
    `key_variable` when a request is sent.
    """

    model_config = ConfigDict(frozen=True)

    key_variable: str = KEY_VARIABLE
    base_url: str = DEFAULT_BASE_URL
    calls_per_minute: int = Field(default=40, ge=1, le=MAX_CALLS_PER_MINUTE)
    data_dir: Path = Path("data")
    candles_dir: Path | None = None
    budget_dir: Path | None = None
    lake_url: str | None = None
    database_url: SecretStr | None = None
    feed_url: str | None = None
    strategies_dir: Path | None = None
    exchange_urls: Mapping[str, str] = {}
    windows_per_run: int = Field(default=16, ge=1, le=MAX_WINDOWS_PER_RUN)
    origin: str = ""

    @field_validator("exchange_urls", mode="before")
    @classmethod
    def _exchange_addresses(cls, value: object) -> object:
        try:
            given = orjson.loads(value) if isinstance(value, str) else value
        except orjson.JSONDecodeError:
            given = None
        example = '{"BYBIT": "http://127.0.0.1:8901"}'
        if not isinstance(given, Mapping) or not all(isinstance(address, str) for address in given.values()):
            raise ValueError(f"is not JSON like {example}")
        for exchange, address in given.items():
            problem = exchange_address_problem(address)
            if problem:
                raise ValueError(f"{problem} for {exchange}; expected something like {example}")
        return {exchange: address.rstrip("/") for exchange, address in given.items()}

    @field_validator("base_url")
    @classmethod
    def _safe_address(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
            _ = parts.port
        except ValueError:
            raise ValueError("is not an address like https://api.coinalyze.net/v1") from None
        if parts.scheme not in {"http", "https"} or not _HOST.fullmatch(parts.hostname or ""):
            raise ValueError("is not an address like https://api.coinalyze.net/v1")
        if parts.scheme == "http" and parts.hostname not in LOOPBACK_HOSTS:
            raise ValueError("would send the key in clear text; use https (http works only on 127.0.0.1)")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("must have only a host and a path; set the key in COINALYZE_API_KEY")
        return value.rstrip("/")

    @field_validator("lake_url", "feed_url")
    @classmethod
    def _place_for_objects(cls, value: str | None) -> str | None:
        if value is not None and (problem := object_url_problem(value)):
            raise ValueError(problem)
        return value

    @field_validator("feed_url")
    @classmethod
    def _document(cls, value: str | None) -> str | None:
        if value is not None and not urlsplit(value).path.strip("/"):
            raise ValueError("has no path like s3://bucket/master_feed.json")
        if value is not None and value.endswith("/"):
            raise ValueError("is a folder; expected a document like s3://bucket/master_feed.json")
        return value

    @field_validator("database_url")
    @classmethod
    def _address_of_database(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is None:
            return None
        if problem := database_url_problem(value.get_secret_value()):
            raise ValueError(problem)
        if info.data.get("budget_dir") is not None:
            raise ValueError(
                f"keeps the call budgets itself: unset {VARIABLES['budget_dir']}, which is for budgets in files"
            )
        return value

    @field_validator("data_dir", "candles_dir", "budget_dir", "strategies_dir")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        try:
            return None if value is None else value.expanduser().absolute()
        except RuntimeError:
            raise ValueError("names the home folder of an unknown user") from None

    @field_validator("data_dir", "budget_dir")
    @classmethod
    def _for_databases(cls, value: Path | None) -> Path | None:
        if value is not None and (problem := database_folder_problem(value)):
            raise ValueError(problem)
        return value

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read the variables; an empty one counts as unset. Raises SettingsError, which never shows a value."""
        given = {
            field: environment[name].strip() for field, name in VARIABLES.items() if environment.get(name, "").strip()
        }
        given.setdefault("data_dir", str(Path("data")))
        given.setdefault("strategies_dir", str(Path("strategies")))
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            field = str(first["loc"][0])
            message = first["msg"].removeprefix("Value error, ")
            if field in _WHOLE_NUMBERS:
                message = f"must be a whole number from 1 to {_WHOLE_NUMBERS[field]}"
            raise SettingsError(f"{VARIABLES.get(field, field)} {message[:1].lower()}{message[1:]}") from None

    def has_key(self, environment: Mapping[str, str]) -> bool:
        """Return whether an API key is set for the provider of the data."""
        return not self.origin and bool(environment.get(self.key_variable, "").strip())

    @property
    def provider(self) -> str:
        """The provider of the stored data: its host name, or `loopback` for an emulator."""
        host = urlsplit(self.base_url).hostname or ""
        return self.origin or (LOOPBACK_ORIGIN if host in LOOPBACK_HOSTS else host)

    @property
    def candle_folder(self) -> Path:
        """The default folder of candle files."""
        return self.candles_dir or self.data_dir / "candles"

    @property
    def lake_dir(self) -> Path:
        """The folder of the assets' tables, one Parquet file per partition, unless they are at a URL."""
        return self.data_dir / "lake"

    @property
    def lake_place(self) -> Path | str:
        """Where the assets' tables are: the URL, or the folder."""
        return self.lake_url or self.lake_dir

    @property
    def locks_dir(self) -> Path:
        """The folder of the locks of those who write bars of exchanges, or tables of a window."""
        return self.data_dir / "locks"

    @property
    def store_dir(self) -> Path:
        """The folder of data fetched from this provider."""
        return self.data_dir / "store" / self.provider

    @property
    def database(self) -> DatabaseServer | None:
        """The database that takes the place of files; None if there is none."""
        return None if self.database_url is None else DatabaseServer(self.database_url.get_secret_value())

    @property
    def database_variable(self) -> str:
        """The name of the environment variable with the address of the database, "" if there is none."""
        return "" if self.database_url is None else VARIABLES["database_url"]

    @property
    def store_place(self) -> Path | DatabaseServer:
        """The database of fetched data."""
        return self.database or self.store_path

    @property
    def budget_path(self) -> Path | DatabaseServer:
        """The database of the call budget of this provider."""
        return self.budget_place(self.provider)

    def budget_place(self, name: str) -> Path | DatabaseServer:
        """Return the database of a call budget: a file in a folder of this name, or a part of the database."""
        if self.database is not None:
            return self.database.part_of(name)
        return (self.budget_dir or self.data_dir / "store") / name / "budget.sqlite"

    @property
    def exchanges_path(self) -> Path:
        """The user's choice of exchanges and markets to fetch candles of; may be missing."""
        return self.data_dir / "exchanges.toml"

    def exchange_origin(self, exchange: str) -> str:
        """Return where an exchange's data come from: `loopback`, the host of another address, or the exchange."""
        address = self.exchange_urls.get(exchange)
        host = exchange.lower() if address is None else urlsplit(address).hostname or ""
        return LOOPBACK_ORIGIN if host in LOOPBACK_HOSTS else host

    def exchange_budget_path(self, exchange: str) -> Path | DatabaseServer:
        """Return the database of the budget of requests to an exchange."""
        return self.budget_place(f"{exchange.lower()}-{self.exchange_origin(exchange)}")

    @property
    def feed_path(self) -> Path:
        """The file of the master feed, unless it is at a URL."""
        return self.data_dir / "master_feed.json"

    @property
    def feed_place(self) -> Path | str:
        """Where the master feed is: the URL, or the file."""
        return self.feed_url or self.feed_path

    @property
    def rules_path(self) -> Path:
        """The user's changes to the rules of symbol resolution; may be missing."""
        return self.data_dir / "resolution.toml"

    @property
    def store_path(self) -> Path:
        """The file of fetched data, if there is no database."""
        return self.store_dir / "derivatives.sqlite"

    @property
    def retention_path(self) -> Path:
        """The user's changes to retention; may be missing."""
        return self.data_dir / "retention.toml"

    @property
    def strategies_path(self) -> Path:
        """The user's changes to parameters of strategies; may be missing."""
        return self.data_dir / "strategies.toml"

    @property
    def evaluation_path(self) -> Path:
        """The user's costs of a trade; may be missing."""
        return self.data_dir / "evaluation.toml"

    @property
    def providers_path(self) -> Path:
        """The user's choice of the provider of each dataset; may be missing."""
        return self.data_dir / "providers.toml"

    @property
    def policy_path(self) -> Path:
        """The user's changes to how often each dataset is refreshed; may be missing."""
        return self.data_dir / "refresh.toml"


def database_url_of(variable: str) -> SecretStr | None:
    """Return the address of the database in an environment variable, None for "". Raises SettingsError."""
    if not variable:
        return None
    if not os.environ.get(variable, "").strip():
        raise SettingsError(f"{variable} is not set, but was set when the code location was loaded")
    return SecretStr(os.environ[variable].strip())
