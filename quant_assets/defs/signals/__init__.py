"""The stage `signals`: the features of every market, and a table of signals for each strategy."""

import dagster as dg

from quant_assets.defs.signals.features import features
from quant_assets.defs.signals.strategies import signal_asset
from quant_assets.orchestration.project import Project


def build(project: Project) -> dg.Definitions:
    """Return the features, and the asset of each strategy."""
    return dg.Definitions(assets=dg.with_source_code_references([features, *map(signal_asset, project.strategies)]))
