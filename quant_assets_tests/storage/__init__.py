"""Tests of `quant_assets.storage`."""
