"""Indicators of strategies: their declaration, the bars they get, their series, and their values at a window's end."""
