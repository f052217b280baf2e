"""Tests of coinalyze."""
