"""Open interest, funding rate, long/short ratio and liquidations: planning, fetching and storing them."""
