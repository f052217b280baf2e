"""The command line: one module for each larger command, `rendering` for what a terminal shows."""

from quant_assets.cli.main import app, main

__all__ = ["app", "main"]
