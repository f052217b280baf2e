"""Scored trading signals for crypto perpetuals, as Dagster assets.

The packages below stand on one another in one direction only (docs/architecture.md). This file holds nothing.
"""
