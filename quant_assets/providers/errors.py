"""The errors of providers' clients.

Every message names the request and the remedy. None contains the key, or a request object that holds it.
"""

from __future__ import annotations


class ProviderError(Exception):
    """Base class of the errors of a provider's client."""


class MissingApiKey(ProviderError):
    """No key is set; the message names the variable. Nothing was sent."""


class InvalidApiKey(ProviderError):
    """The provider rejects the key (401 or 403). A retry is pointless until the key is changed."""


class BadRequest(ProviderError):
    """The provider rejects the request as invalid (400 or 422). A retry would fail again."""


class ProviderUnavailable(ProviderError):
    """The provider sent no valid response in any attempt.

    Raised after timeouts, refused connections, 5xx, 429 and malformed bodies, and at once for statuses that the API
    never sends (404, 302).
    """


class BudgetUnusable(ProviderError):
    """The call budget cannot be read or written. Nothing is sent then, since calls could not be counted."""


class DeadlineExceeded(ProviderError):
    """The calls do not fit into the budget before the caller's deadline. Nothing was sent."""
