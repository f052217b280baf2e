"""The Coinalyze API: client and response models."""

from quant_assets.providers.base import ApiResponse, Exchange, History, Market, Usage
from quant_assets.providers.budget import CallBudget
from quant_assets.providers.coinalyze.client import HISTORY_FIELDS, SYMBOLS_PER_REQUEST, CoinalyzeClient
from quant_assets.providers.errors import (
    BadRequest,
    BudgetUnusable,
    DeadlineExceeded,
    InvalidApiKey,
    MissingApiKey,
    ProviderError,
    ProviderUnavailable,
)

#: The name in version 0.1.
CoinalyzeError = ProviderError

__all__ = [
    "HISTORY_FIELDS",
    "SYMBOLS_PER_REQUEST",
    "ApiResponse",
    "BadRequest",
    "BudgetUnusable",
    "CallBudget",
    "CoinalyzeClient",
    "DeadlineExceeded",
    "Exchange",
    "History",
    "InvalidApiKey",
    "Market",
    "MissingApiKey",
    "ProviderError",
    "ProviderUnavailable",
    "Usage",
]
