"""Checks of a strategy on real candles: whether it looks ahead, whether its indicators settle, and how fast it is."""
