"""Market lists and candles from the exchanges themselves, through ccxt."""
