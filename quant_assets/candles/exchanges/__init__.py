"""Candles from the exchanges themselves: which markets, what to ask for, and asking for it."""
