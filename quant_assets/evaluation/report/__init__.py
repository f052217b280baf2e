"""The report of an evaluation: one HTML file that needs no network."""

from quant_assets.evaluation.report.page import plots_of, render_report

__all__ = ["plots_of", "render_report"]
