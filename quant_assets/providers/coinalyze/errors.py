"""What can go wrong between this project and Coinalyze, by what the caller can do about it.

Every message names the request and the remedy; none carries the key, nor the request object that bears it.
"""

from __future__ import annotations


class CoinalyzeError(Exception):
    """Anything that the API or the way to it refused."""


class MissingApiKey(CoinalyzeError):
    """No key was given: set COINALYZE_API_KEY. Nothing was sent."""


class InvalidApiKey(CoinalyzeError):
    """The provider does not accept the key (401 or 403). Asking again is pointless until it is changed."""


class BadRequest(CoinalyzeError):
    """The provider calls the request wrong (400 or 422). The same request would fail again."""


class ProviderUnavailable(CoinalyzeError):
    """The provider did not answer usefully in as many attempts as are worth making.

    Time-outs, refused connections, 5xx, 429 and broken bodies end here, and what no API of this kind says (404, 302).
    """


class BudgetUnusable(CoinalyzeError):
    """The file of the call budget cannot be used. Nothing is sent without it, since nothing would be counted."""


class DeadlineExceeded(CoinalyzeError):
    """The call budget has no room before the deadline that the caller set. Nothing was sent."""
