"""The master feed: its contract and its writer."""
