"""Dagster resources: the API client, the store, and the user's files.

The API key is read from the environment when it is needed, so that Dagster never records it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
from pydantic import Field, SecretStr

from quant_assets.alerts.notices import Notice, Webhook, WebhookError, log_notice, registered_notifiers, send
from quant_assets.common.clock import Clock
from quant_assets.derivatives.policy import RefreshPolicy, load_policy
from quant_assets.derivatives.store import DerivativesStore
from quant_assets.markets import ResolutionRules, load_rules
from quant_assets.providers.coinalyze.budget import CallBudget
from quant_assets.providers.coinalyze.client import CoinalyzeClient
from quant_assets.signals import Strategy, with_parameters
from quant_assets.storage.origins import record_origin
from quant_assets.storage.retention import RetentionPolicy, load_retention


class Coinalyze(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The rate-limited client, and the store of what it fetched."""

    base_url: str = Field(description="Address of the API, such as https://api.coinalyze.net/v1.")
    calls_per_minute: int = Field(description="The provider's limit, each symbol of a request counted.")
    store_dir: str = Field(description="Folder of the store.")
    budget_path: str = Field(description="SQLite file of the call budget.")
    provider: str = Field(description="Name of the provider at that address.")
    key_variable: str = Field(description="Name of the environment variable that holds the key.")
    data_dir: str = Field(description="Data folder, which records whose data it holds.")
    origin_problem: str = Field(
        default="", description="Why data of this provider must not be written into the data folder."
    )

    def require_origin(self) -> None:
        """Raise dg.Failure if the data folder holds data of another provider."""
        if self.origin_problem:
            raise dg.Failure(self.origin_problem, metadata={"error": "OriginError"}, allow_retries=False)

    def record_origin(self) -> None:
        """Record that the data folder holds data of this provider."""
        record_origin(Path(self.data_dir), self.provider)

    @contextmanager
    def client(self, clock: Clock) -> Iterator[CoinalyzeClient]:
        """Open a client with the shared call budget. Without a key its methods raise MissingApiKey."""
        key = os.environ.get(self.key_variable, "").strip()
        budget = CallBudget(Path(self.budget_path), self.calls_per_minute, clock=clock.monotonic, sleep=clock.sleep)
        secret = SecretStr(key) if key else None
        with closing(CoinalyzeClient(secret, self.base_url, budget, clock=clock.seconds, sleep=clock.sleep)) as client:
            yield client

    @contextmanager
    def store(self) -> Iterator[DerivativesStore]:
        """Open the store of the data fetched from this provider."""
        with closing(DerivativesStore(Path(self.store_dir) / "derivatives.sqlite")) as store:
            yield store


class CandleFolder(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The folder of candle files."""

    path: str = Field(description="Folder of files named EXCHANGE_SYMBOL_TIMEFRAME.json.")


class MarketRules(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The file of the user's rules for symbol resolution."""

    path: str = Field(description="TOML file; the defaults apply if it is missing.")

    def load(self) -> ResolutionRules:
        """Read the rules. Raises RulesError for an invalid file."""
        return load_rules(Path(self.path))


class RefreshPolicyFile(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The file of the user's refresh policy."""

    path: str = Field(description="TOML file; the defaults apply if it is missing.")

    def load(self) -> RefreshPolicy:
        """Read the policy. Raises PolicyError for an invalid file."""
        return load_policy(Path(self.path))


@dataclass(frozen=True, slots=True)
class Strategies:
    """The registered strategies, and the file of the user's parameters."""

    registered: tuple[Strategy, ...]
    path: Path

    def load(self) -> dict[str, Strategy]:
        """Return the strategies with the user's parameters, by key. Raises ParametersError for an invalid file."""
        return {strategy.key: strategy for strategy in with_parameters(self.registered, self.path)}


class Retention(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The file of the user's retention policy."""

    path: str = Field(description="TOML file; the defaults apply if it is missing.")

    def load(self) -> RetentionPolicy:
        """Read the policy. Raises RetentionError for an invalid file."""
        return load_retention(Path(self.path))


class Folders(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The folders of the data."""

    data: str = Field(description="The data folder.")
    store: str = Field(description="Folder of the provider's store.")


class Notifier(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Sends notices to the log, to the webhook if one is set, and to registered notifiers."""

    address_variable: str = Field(description="Name of the environment variable that holds the webhook's address.")

    def send(self, notice: Notice) -> None:
        """Send a notice; log each notifier that fails."""
        notifiers = [log_notice, *registered_notifiers()]
        address = os.environ.get(self.address_variable, "").strip()
        problems = []
        try:
            notifiers += [Webhook(address)] if address else []
        except WebhookError as error:
            problems.append(str(error))
        for problem in [*problems, *send(notice, notifiers)]:
            logging.getLogger(__name__).error(problem)


class FeedFile(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The master feed that consumers read."""

    path: str = Field(description="The JSON file, which the newest window replaces.")
