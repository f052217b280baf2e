"""The names of the jobs, by which commands find them in the definitions."""

from typing import Final

MARKET_LIST: Final = "market_list"
SCAN: Final = "scan"
ANALYSE: Final = "analyse"
REFRESH: Final = "refresh"
PRUNE: Final = "prune"
FETCH: Final = "fetch"
