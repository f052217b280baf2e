"""Dagster resources: the providers' clients, the store, and the user's files.

A key is read from the environment when it is needed, so that Dagster never records it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import dagster as dg
import pandas as pd
from pydantic import Field

from quant_assets.alerts.notices import Notice, Webhook, WebhookError, log_notice, registered_notifiers, send
from quant_assets.common.clock import Clock
from quant_assets.common.database_server import DatabaseServer
from quant_assets.common.settings import Settings, database_url_of
from quant_assets.common.text import describe_foreign_error
from quant_assets.derivatives.market_sources import MarketLists
from quant_assets.derivatives.policy import RefreshPolicy, load_policy
from quant_assets.derivatives.provider_choice import ProviderChoice, datasets_by_provider, load_provider_choice
from quant_assets.derivatives.store import DerivativesStore
from quant_assets.evaluation import Costs, load_costs
from quant_assets.feed import FeedPlace
from quant_assets.markets import ResolutionRules, load_rules
from quant_assets.orchestration.market_lists import lists_in_use
from quant_assets.providers.base import Provider, ProviderClient
from quant_assets.providers.budget import CallBudget
from quant_assets.providers.errors import ProviderUnavailable
from quant_assets.providers.registry import PROVIDERS, budget_path
from quant_assets.signals import Strategy, with_parameters
from quant_assets.storage.origins import foreign_origin, record_origin
from quant_assets.storage.retention import RetentionPolicy, load_retention


class Providers(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The providers of derivative data: their rate-limited clients, and the store of what was fetched."""

    base_url: str = Field(description="Address of the Coinalyze API, such as https://api.coinalyze.net/v1.")
    calls_per_minute: int = Field(description="Coinalyze's limit, each symbol of a request counted.")
    key_variable: str = Field(description="Name of the environment variable that holds Coinalyze's key.")
    origin: str = Field(default="", description="Whose data the folder holds, if not those of that address.")
    data_dir: str = Field(description="Data folder, which records whose data it holds.")
    budget_dir: str | None = Field(default=None, description="Folder of the call budgets, if not the data folder.")
    lake_url: str | None = Field(default=None, description="Where tables are kept, if not in the data folder.")
    database_variable: str = Field(
        default="", description="Name of the environment variable with the address of the database, if there is one."
    )
    origin_problem: str = Field(
        default="", description="Why data of this provider must not be written into the data folder."
    )

    @property
    def settings(self) -> Settings:
        """Return the settings that providers read."""
        return Settings(
            base_url=self.base_url,
            calls_per_minute=self.calls_per_minute,
            key_variable=self.key_variable,
            origin=self.origin,
            data_dir=Path(self.data_dir),
            budget_dir=None if self.budget_dir is None else Path(self.budget_dir),
            lake_url=self.lake_url,
            database_url=database_url_of(self.database_variable),
        )

    def choice(self) -> ProviderChoice:
        """Return which provider serves each dataset. Raises ProviderChoiceError for an invalid file."""
        return load_provider_choice(self.settings.providers_path)

    def lists(self, tables: Mapping[str, pd.DataFrame], rules: ResolutionRules, now: datetime) -> MarketLists:
        """Return the market lists of the providers in use, from the tables of their assets."""
        return lists_in_use(tables, self.settings, self.choice(), rules, now)

    def require_origin(self) -> None:
        """Raise dg.Failure if the data folder holds data of another origin of a provider in use."""
        settings = self.settings
        problem = self.origin_problem
        for name in datasets_by_provider(self.choice()):
            problem = problem or foreign_origin(settings, name, PROVIDERS[name].origin(settings))
        if problem:
            raise dg.Failure(problem, metadata={"error": "OriginError"}, allow_retries=False)

    def record_origin(self, provider: Provider) -> None:
        """Record that the data folder holds data of this origin of a provider."""
        record_origin(self.settings, provider.name, provider.origin(self.settings))

    @contextmanager
    def client(self, provider: Provider, clock: Clock) -> Iterator[ProviderClient]:
        """Open a client with the call budget that all processes share. Without a key its methods raise MissingApiKey.

        Raises BudgetUnusable, and ProviderUnavailable if the provider's code fails.
        """
        settings = self.settings
        limit = provider.calls_per_minute(settings)
        budget = CallBudget(budget_path(provider, settings), limit, clock=clock.monotonic, sleep=clock.sleep)
        with closing(budget):
            try:
                client = provider.connect(settings, budget, clock)
            except Exception as error:  # noqa: BLE001 - the code of an installed package may raise anything
                raise ProviderUnavailable(f"{provider.name}: {describe_foreign_error(error)}") from None
            with closing(client):
                yield client

    @contextmanager
    def store(self) -> Iterator[DerivativesStore]:
        """Open the store of fetched data."""
        with closing(DerivativesStore(self.settings.store_place)) as store:
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


class CostsFile(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The file of the user's costs of a trade."""

    path: str = Field(description="TOML file; the defaults apply if it is missing.")

    def load(self) -> Costs:
        """Read the costs. Raises EvaluationConfigError for an invalid file."""
        return load_costs(Path(self.path))


class Folders(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The folders of the data."""

    data: str = Field(description="The data folder.")
    store: str = Field(description="Folder of the provider's store.")


class Notifier(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Sends notices to the log, to the webhook if one is set, and to registered notifiers."""

    address_variable: str = Field(description="Name of the environment variable that holds the webhook's address.")

    def send(self, notice: Notice) -> None:
        """Send a notice; log each notifier that fails or cannot be loaded."""
        registered, problems = registered_notifiers()
        notifiers = [log_notice, *registered]
        address = os.environ.get(self.address_variable, "").strip()
        try:
            notifiers += [Webhook(address)] if address else []
        except WebhookError as error:
            problems.append(str(error))
        for problem in [*problems, *send(notice, notifiers)]:
            logging.getLogger(__name__).error(problem)


class FeedFile(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The master feed that consumers read."""

    path: str = Field(description="The JSON file or its URL, which the newest window replaces.")
    locks: str = Field(description="Folder of the lock of those who publish, if there is no database.")
    database_variable: str = Field(
        default="", description="Name of the environment variable with the address of the database, if there is one."
    )

    @property
    def place(self) -> FeedPlace:
        """Return where the feed is published."""
        url = database_url_of(self.database_variable)
        return FeedPlace(
            self.path if "://" in self.path else Path(self.path),
            Path(self.locks),
            None if url is None else DatabaseServer(url.get_secret_value()),
        )
