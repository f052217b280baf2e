"""Search the parameters of a strategy by walk-forward: chosen on the past, reported on the unseen part only."""

from quant_assets.evaluation.tuning.folds import Fold, FoldsError
from quant_assets.evaluation.tuning.search import (
    RangeError,
    SearchRange,
    Trials,
    count_combinations,
    draw_trials,
    search_ranges,
)
from quant_assets.evaluation.tuning.tune import FoldResult, Tuning, scores_of_past, tune

__all__ = [
    "Fold",
    "FoldResult",
    "FoldsError",
    "RangeError",
    "SearchRange",
    "Trials",
    "Tuning",
    "count_combinations",
    "draw_trials",
    "scores_of_past",
    "search_ranges",
    "tune",
]
