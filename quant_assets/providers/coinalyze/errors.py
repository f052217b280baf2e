"""The errors of the Coinalyze client.

Every message names the request and the remedy. None contains the key, or a request object that holds it.
"""

from __future__ import annotations


class CoinalyzeError(Exception):
    """Base class of the errors of the client."""


class MissingApiKey(CoinalyzeError):
    """No key is set: set COINALYZE_API_KEY. Nothing was sent."""


class InvalidApiKey(CoinalyzeError):
    """The provider rejects the key (401 or 403). A retry is pointless until the key is changed."""


class BadRequest(CoinalyzeError):
    """The provider rejects the request as invalid (400 or 422). A retry would fail again."""


class ProviderUnavailable(CoinalyzeError):
    """The provider sent no valid response in any attempt.

    Raised after timeouts, refused connections, 5xx, 429 and malformed bodies, and at once for statuses that the API
    never sends (404, 302).
    """


class BudgetUnusable(CoinalyzeError):
    """The file of the call budget cannot be used. Nothing is sent then, since calls could not be counted."""


class DeadlineExceeded(CoinalyzeError):
    """The calls do not fit into the budget before the caller's deadline. Nothing was sent."""
