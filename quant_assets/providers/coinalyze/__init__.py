"""The Coinalyze API: client, call budget and response models."""

from quant_assets.providers.coinalyze.budget import CallBudget
from quant_assets.providers.coinalyze.client import (
    HISTORY_FIELDS,
    SYMBOLS_PER_REQUEST,
    CoinalyzeClient,
    Usage,
)
from quant_assets.providers.coinalyze.errors import (
    BadRequest,
    BudgetUnusable,
    CoinalyzeError,
    DeadlineExceeded,
    InvalidApiKey,
    MissingApiKey,
    ProviderUnavailable,
)
from quant_assets.providers.coinalyze.models import ApiResponse, Exchange, History, Market

__all__ = [
    "HISTORY_FIELDS",
    "SYMBOLS_PER_REQUEST",
    "ApiResponse",
    "BadRequest",
    "BudgetUnusable",
    "CallBudget",
    "CoinalyzeClient",
    "CoinalyzeError",
    "DeadlineExceeded",
    "Exchange",
    "History",
    "InvalidApiKey",
    "Market",
    "MissingApiKey",
    "ProviderUnavailable",
    "Usage",
]
