"""The templates of the pages."""

from __future__ import annotations

from functools import cache

from jinja2 import ChoiceLoader, Environment, PackageLoader, PrefixLoader, StrictUndefined, select_autoescape

from quant_assets.dashboard.static_files import PLOTLY, static_version
from quant_assets.providers.registry import PROVIDERS


@cache
def templates() -> Environment:
    """Return the templates of the dashboard, and below `report/` those of the report of an evaluation."""
    report = PrefixLoader({"report": PackageLoader("quant_assets.evaluation.report", ".")})
    environment = Environment(
        loader=ChoiceLoader([PackageLoader("quant_assets.dashboard"), report]),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["static"] = f"/static/{static_version()}"
    environment.globals["providers"] = list(PROVIDERS.values())
    environment.globals["plotly"] = f"/static/{static_version()}/{PLOTLY}"
    return environment
