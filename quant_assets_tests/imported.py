"""Import every module of the package, and what commands import late; for processes that are forked."""

from __future__ import annotations

import gc
import tempfile
from importlib import import_module
from pkgutil import walk_packages

import dagster as dg

import quant_assets

for found in walk_packages(quant_assets.__path__, "quant_assets."):
    if "__main__" not in found.name and ".migrations" not in found.name:
        import_module(found.name)
with tempfile.TemporaryDirectory() as folder, dg.DagsterInstance.local_temp(folder):
    pass  # imports the storage of an instance
gc.freeze()  # so that a collection in a fork copies no pages
