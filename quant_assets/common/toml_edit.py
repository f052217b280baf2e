"""Changing values in a user's TOML file without touching the rest of it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tomlkit

from quant_assets.common.files import replace_file


def set_table_values(path: Path, table: str, values: Mapping[str, Any], remove: Iterable[str] = ()) -> None:
    """Set keys of a table in a TOML file, and remove others from it; a missing file or table is created.

    Comments, order and all other keys stay. The file must be valid TOML. Raises WriteError.
    """
    text = path.read_text(encoding="utf-8") if os.path.lexists(path) else ""
    document = tomlkit.parse(text)
    if table not in document:
        document[table] = tomlkit.table()
    keys = document[table]
    for name in remove:
        keys.pop(name, None)
    keys.update(values)
    replace_file(path, tomlkit.dumps(document).encode())
