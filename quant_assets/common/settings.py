"""What the environment decides: key, address, rate and folders."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from quant_assets.common.text import is_utf8

KEY_VARIABLE = "COINALYZE_API_KEY"
WEBHOOK_VARIABLE = "QUANT_WEBHOOK_URL"
DEFAULT_BASE_URL = "https://api.coinalyze.net/v1"
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
LOOPBACK_ORIGIN = "loopback"
#: A host becomes a folder's name below the store, so it has to be one: labels between single dots, or an IPv6 address.
_HOST = re.compile(r"[\w-]+(\.[\w-]+)*\.?|[0-9a-f.]*:[0-9a-f:.]+")

VARIABLES = {
    "base_url": "COINALYZE_BASE_URL",
    "calls_per_minute": "COINALYZE_CALLS_PER_MINUTE",
    "data_dir": "QUANT_DATA_DIR",
    "candles_dir": "QUANT_CANDLES_DIR",
    "budget_dir": "QUANT_BUDGET_DIR",
}


def unfit_for_databases(folder: Path) -> str:
    """Return why no SQLite database of Dagster's can lie in a folder of this name, "" where it can."""
    name = str(folder)
    if "?" in name:
        return "has a question mark in its path, where the address of a database ends; choose another folder"
    return "" if is_utf8(name) else "is no UTF-8; choose another folder"


class SettingsError(ValueError):
    """A variable that cannot be used; the message names it and what would do."""


class Settings(BaseModel):
    """The environment, read once.

    `calls_per_minute` is the provider's limit, counted by symbols. Everything that is written lies below `data_dir`,
    but for the call budget where `budget_dir` says so: one for several data folders that use the same key.
    Candle files are read from `candles_dir`. `origin` is whose data the data folder holds where `base_url` does not
    name that provider: nothing can be asked for then (quant_assets/storage/origins.py). The key itself is not in here:
    it stays in the environment, under the name `key_variable`, and is read at the moment it is sent.
    """

    model_config = ConfigDict(frozen=True)

    key_variable: str = KEY_VARIABLE
    base_url: str = DEFAULT_BASE_URL
    calls_per_minute: int = Field(default=40, ge=1, le=1_000_000)
    data_dir: Path = Path("data")
    candles_dir: Path | None = None
    budget_dir: Path | None = None
    origin: str = ""

    @field_validator("base_url")
    @classmethod
    def _safe_address(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
            _ = parts.port
        except ValueError:
            raise ValueError("is no address like https://api.coinalyze.net/v1") from None
        if parts.scheme not in {"http", "https"} or not _HOST.fullmatch(parts.hostname or ""):
            raise ValueError("is no address like https://api.coinalyze.net/v1")
        if parts.scheme == "http" and parts.hostname not in LOOPBACK_HOSTS:
            raise ValueError("would send the key in clear text: use https, or http on 127.0.0.1 alone")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("carries more than host and path; the key belongs in COINALYZE_API_KEY")
        return value.rstrip("/")

    @field_validator("data_dir", "candles_dir", "budget_dir")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        try:
            return None if value is None else value.expanduser().absolute()
        except RuntimeError:
            raise ValueError("names a home folder that there is none of") from None

    @field_validator("data_dir", "budget_dir")
    @classmethod
    def _for_databases(cls, value: Path | None) -> Path | None:
        if value is not None and (problem := unfit_for_databases(value)):
            raise ValueError(problem)
        return value

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read the variables; an empty one counts as absent. Raises SettingsError, which never shows a value."""
        given = {
            field: environment[name].strip() for field, name in VARIABLES.items() if environment.get(name, "").strip()
        }
        given.setdefault("data_dir", str(Path("data")))
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            field = str(first["loc"][0])
            message = first["msg"].removeprefix("Value error, ")
            raise SettingsError(f"{VARIABLES.get(field, field)} {message[:1].lower()}{message[1:]}") from None

    def has_key(self, environment: Mapping[str, str]) -> bool:
        """Whether there is a key for the origin of the data."""
        return not self.origin and bool(environment.get(self.key_variable, "").strip())

    @property
    def provider(self) -> str:
        """Whom the stored data come from: the host's name, so that an emulator's never mix with the real ones."""
        host = urlsplit(self.base_url).hostname or ""
        return self.origin or (LOOPBACK_ORIGIN if host in LOOPBACK_HOSTS else host)

    @property
    def candle_folder(self) -> Path:
        """Where candle files are read from unless a command or run says otherwise."""
        return self.candles_dir or self.data_dir / "candles"

    @property
    def lake_dir(self) -> Path:
        """The assets' tables, one Parquet file a partition."""
        return self.data_dir / "lake"

    @property
    def store_dir(self) -> Path:
        """What has been fetched from this provider."""
        return self.data_dir / "store" / self.provider

    @property
    def budget_path(self) -> Path:
        """What this provider's budget has been spent on."""
        return (self.budget_dir or self.data_dir / "store") / self.provider / "budget.sqlite"

    @property
    def feed_path(self) -> Path:
        """The master feed that consumers read."""
        return self.data_dir / "master_feed.json"

    @property
    def rules_path(self) -> Path:
        """Changes to the rules of symbol resolution, where the user has any."""
        return self.data_dir / "resolution.toml"

    @property
    def retention_path(self) -> Path:
        """Changes to how long things are kept, where the user has any."""
        return self.data_dir / "retention.toml"

    @property
    def strategies_path(self) -> Path:
        """Changes to the strategies' parameters, where the user has any."""
        return self.data_dir / "strategies.toml"

    @property
    def policy_path(self) -> Path:
        """Changes to how often each dataset is asked for, where the user has any."""
        return self.data_dir / "refresh.toml"
