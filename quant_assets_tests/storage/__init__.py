"""Tests of the lake and of what is kept."""
