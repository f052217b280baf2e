"""What a run fetches: the choice of exchanges.toml, and what the run's configuration has in its place."""

from typing import Any

import dagster as dg
from pydantic import Field

from quant_assets.candles.exchanges.config import ExchangesConfig, ExchangesConfigError
from quant_assets.candles.exchanges.refresh import TIMEFRAMES
from quant_assets.orchestration.exchange_source import ExchangeSource


class ChoiceConfig(dg.Config):
    """What a run fetches in place of what exchanges.toml says; empty or 0 for what it says."""

    exchanges: list[str] = Field(default_factory=list)
    top: int = 0


class FetchConfig(ChoiceConfig):
    """Limits of a run that fetches candles."""

    history_days: float = 0.0
    timeframes: list[str] = Field(default_factory=lambda: list(TIMEFRAMES))
    max_wait_seconds: float = Field(default=600.0, description="After it, what is missing waits for the next run.")


def chosen(source: ExchangeSource, config: ChoiceConfig) -> ExchangesConfig:
    """Return the configuration of a run. Raise dg.Failure for an invalid file."""
    try:
        found = source.config()
    except ExchangesConfigError as error:
        raise dg.Failure(str(error), metadata={"error": type(error).__name__}, allow_retries=False) from None
    changes: dict[str, Any] = {}
    if config.exchanges:
        changes["exchanges"] = tuple(config.exchanges)
    if config.top:
        changes["top"] = config.top
        changes["overrides"] = {
            name: choice.model_copy(update={"top": config.top}) for name, choice in found.overrides.items()
        }
    return found.model_copy(update=changes)
