"""Tests of the candle folder and its tables."""
