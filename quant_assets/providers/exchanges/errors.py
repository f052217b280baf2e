"""The errors of exchanges' clients. Messages name the exchange and the request."""

from __future__ import annotations

from quant_assets.providers.errors import ProviderError


class ExchangeError(ProviderError):
    """Base class of the errors of an exchange's client."""


class RequestFailed(ExchangeError):
    """No whole response: no connection, a timeout, a cut body or a status of 5xx. Worth a retry."""


class MalformedBody(ExchangeError):
    """The response cannot be right: no JSON, or rows without times and prices. Worth a retry."""


class RateLimited(ExchangeError):
    """The exchange refuses requests for `seconds`: too many were sent from this address. The budget is paused."""

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


class UnknownMarket(ExchangeError):
    """The exchange has no such market, or not any more."""


class RequestRefused(ExchangeError):
    """The exchange rejects the request, and a retry would fail again."""
