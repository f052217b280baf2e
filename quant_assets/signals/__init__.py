"""Signals: indicators, trendlines, features, strategies."""
