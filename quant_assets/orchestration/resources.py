"""What the assets reach the world through: the API, the store, the candle folder, the feed's file.

The key is read from the environment at the moment it is needed, and is no part of any configuration that Dagster would
keep.
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
from quant_assets.markets import ResolutionRules, rules_from
from quant_assets.providers.coinalyze.budget import CallBudget
from quant_assets.providers.coinalyze.client import CoinalyzeClient
from quant_assets.signals import Strategy, with_parameters
from quant_assets.storage.origins import record_origin
from quant_assets.storage.retention import RetentionPolicy, load_retention


class Coinalyze(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The rate-limited client and what it has fetched so far."""

    base_url: str = Field(description="Address of the API, such as https://api.coinalyze.net/v1.")
    calls_per_minute: int = Field(description="The provider's limit, each symbol of a request counted.")
    store_dir: str = Field(description="Folder of the store.")
    budget_path: str = Field(description="SQLite file of the call budget.")
    provider: str = Field(description="Name of the provider behind that address.")
    key_variable: str = Field(description="Name of the environment variable that holds the key.")
    data_dir: str = Field(description="Data folder, which records whose data it holds.")
    origin_problem: str = Field(default="", description="Why this provider's data must not go into the data folder.")

    def require_origin(self) -> None:
        """Raise dg.Failure where the data folder holds the data of another provider."""
        if self.origin_problem:
            raise dg.Failure(self.origin_problem, metadata={"error": "OriginError"}, allow_retries=False)

    def record_origin(self) -> None:
        """Write down that the data folder holds this provider's data."""
        record_origin(Path(self.data_dir), self.provider)

    @contextmanager
    def client(self, clock: Clock) -> Iterator[CoinalyzeClient]:
        """Open a client on the shared budget. Without a key its methods raise MissingApiKey."""
        key = os.environ.get(self.key_variable, "").strip()
        budget = CallBudget(Path(self.budget_path), self.calls_per_minute, clock=clock.monotonic, sleep=clock.sleep)
        secret = SecretStr(key) if key else None
        with closing(CoinalyzeClient(secret, self.base_url, budget, clock=clock.seconds, sleep=clock.sleep)) as client:
            yield client

    @contextmanager
    def store(self) -> Iterator[DerivativesStore]:
        """Open the store of what was fetched from this provider."""
        with closing(DerivativesStore(Path(self.store_dir) / "derivatives.sqlite")) as store:
            yield store


class CandleFolder(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The folder of candle files."""

    path: str = Field(description="Folder of files named EXCHANGE_SYMBOL_TIMEFRAME.json.")


class MarketRules(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Where the user's changes to the rules of symbol resolution lie."""

    path: str = Field(description="TOML file; the defaults hold where it is absent.")

    def load(self) -> ResolutionRules:
        """Read the rules. Raises RulesError for a file that cannot be used."""
        return rules_from(Path(self.path))


class Cadences(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Where the user's changes to the refresh policy lie."""

    path: str = Field(description="TOML file; the defaults hold where it is absent.")

    def load(self) -> RefreshPolicy:
        """Read the policy. Raises PolicyError for a file that cannot be used."""
        return load_policy(Path(self.path))


@dataclass(frozen=True, slots=True)
class Strategies:
    """The strategies that are registered, and where the user's changes to their parameters lie."""

    registered: tuple[Strategy, ...]
    path: Path

    def load(self) -> dict[str, Strategy]:
        """Return the strategies as the user wants them, by key. Raises ParametersError for a file of no use."""
        return {strategy.key: strategy for strategy in with_parameters(self.registered, self.path)}


class Retention(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Where the user's changes to how long things are kept lie."""

    path: str = Field(description="TOML file; the defaults hold where it is absent.")

    def load(self) -> RetentionPolicy:
        """Read the policy. Raises RetentionError for a file that cannot be used."""
        return load_retention(Path(self.path))


class Folders(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Where data are kept."""

    data: str = Field(description="Folder below which everything is written.")
    store: str = Field(description="Folder of the provider's store.")


class Notifier(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Whom to tell: the log, a webhook where there is one, and whoever has registered."""

    address_variable: str = Field(description="Name of the environment variable that holds the webhook's address.")

    def send(self, notice: Notice) -> None:
        """Send a notice; a way that fails is logged."""
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

    path: str = Field(description="The JSON file, replaced whole by the newest window.")
