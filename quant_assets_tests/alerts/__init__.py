"""Tests of `quant_assets.alerts`."""
