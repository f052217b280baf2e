"""The stage `feed`: every signal of a window in one document."""

import dagster as dg

from quant_assets.defs.feed.master_feed import feed_asset
from quant_assets.orchestration.project import Project


def build(project: Project) -> dg.Definitions:
    """Return the asset `master_feed`."""
    not_loaded = [strategy.name for strategy in project.not_loaded]
    return dg.Definitions(assets=dg.with_source_code_references([feed_asset(project.strategies, not_loaded)]))
