"""Features of each market at the end of a window: indicators, trendlines, derivative inputs, and their table."""
