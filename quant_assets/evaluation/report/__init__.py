"""The report of an evaluation: one HTML file that needs no network."""

from quant_assets.evaluation.report.page import render_report

__all__ = ["render_report"]
