"""The stage `signals`: the features of every market, the watchlist, and a table of signals for each strategy."""

import dagster as dg

from quant_assets.defs.signals.candle_features import candle_features
from quant_assets.defs.signals.features import features
from quant_assets.defs.signals.strategies import signal_asset
from quant_assets.defs.signals.watchlist import watchlist
from quant_assets.orchestration.project import Project


def build(project: Project) -> dg.Definitions:
    """Return the features, the watchlist, and the asset of each strategy."""
    signals = map(signal_asset, project.strategies)
    return dg.Definitions(assets=dg.with_source_code_references([candle_features, watchlist, features, *signals]))
