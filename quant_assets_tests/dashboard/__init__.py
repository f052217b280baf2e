"""Tests of quant_assets.dashboard."""
