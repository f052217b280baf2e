"""Tests of `quant_assets.common`."""
