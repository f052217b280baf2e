"""A local Coinalyze over real HTTP, and a simulated market to feed it; for the demo and the tests alone."""
