"""Markets: candle files, local symbols, and which Coinalyze symbol serves each market."""
