"""Tests of the Coinalyze client."""
