"""The command line: one module for each command, and `rendering` for what it prints."""

from quant_assets.cli.main import app, main

__all__ = ["app", "main"]
