"""Test the candle folder and its tables."""
