"""Tests of the local exchanges."""
