"""The stage `signals`: the features of every market, the watchlist, and a table of signals for each strategy."""

import dagster as dg

from quant_assets.defs.signals.candle_features import candle_features
from quant_assets.defs.signals.features import features
from quant_assets.defs.signals.strategies import signal_asset
from quant_assets.defs.signals.watchlist import watchlist_asset
from quant_assets.orchestration.project import Project
from quant_assets.signals import ParametersError, Strategy, with_parameters


def build(project: Project) -> dg.Definitions:
    """Return the features, the watchlist, and the asset of each strategy."""
    strategies, problem = _in_force(project)
    signals = [signal_asset(strategy, problem) for strategy in strategies]
    assets = [candle_features, watchlist_asset(project.strategies), features, *signals]
    return dg.Definitions(assets=dg.with_source_code_references(assets))


def _in_force(project: Project) -> tuple[list[Strategy], str]:
    """Return the strategies with the parameters in force, or with the defaults and what is wrong with the file."""
    try:
        every = with_parameters((*project.strategies, *project.not_loaded), project.settings.strategies_path)
    except ParametersError as error:
        return list(project.strategies), str(error)
    return list(every[: len(project.strategies)]), ""
