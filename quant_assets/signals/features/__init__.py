"""What is known of each market at the end of a window: indicators, trendlines, derivative inputs, their table."""
