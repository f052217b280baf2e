"""The Coinalyze API: client, call budget, response models."""

from quant_assets.providers.coinalyze.budget import CallBudget
from quant_assets.providers.coinalyze.client import (
    CURRENT_ENDPOINTS,
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
from quant_assets.providers.coinalyze.models import Answer, CurrentValue, Exchange, History, Market

__all__ = [
    "CURRENT_ENDPOINTS",
    "HISTORY_FIELDS",
    "SYMBOLS_PER_REQUEST",
    "Answer",
    "BadRequest",
    "BudgetUnusable",
    "CallBudget",
    "CoinalyzeClient",
    "CoinalyzeError",
    "CurrentValue",
    "DeadlineExceeded",
    "Exchange",
    "History",
    "InvalidApiKey",
    "Market",
    "MissingApiKey",
    "ProviderUnavailable",
    "Usage",
]
