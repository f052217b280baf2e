"""The stage `record`: the trades of published signals, and what each strategy's were worth."""

import dagster as dg

from quant_assets.defs.record.track_record import track_record_asset
from quant_assets.defs.record.trades import trades_asset
from quant_assets.orchestration.project import Project


def build(project: Project) -> dg.Definitions:
    """Return the assets `trades` and `track_record`."""
    assets = [trades_asset(project.strategies), track_record_asset(project.strategies)]
    return dg.Definitions(assets=dg.with_source_code_references(assets))
