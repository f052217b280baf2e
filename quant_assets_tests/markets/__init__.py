"""Test symbol parsing, market lists and resolution."""
