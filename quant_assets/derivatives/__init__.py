"""Open interest, funding, long/short ratio and liquidations: what is known, and what to ask for next."""
