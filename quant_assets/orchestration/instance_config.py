"""The file dagster.yaml of an instance: create it, or bring over one of an earlier version."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Final

from quant_assets.common.files import UserFileWarning, atomic_write, replace_file
from quant_assets.common.settings import SettingsError

#: The storage of earlier versions, whose files are those of Dagster's default storage.
OLD_MODULE: Final = "quant_assets.defs.sqlite_storage"
OLD_STORAGE: Final = f"""
storage:
  custom:
    module: {OLD_MODULE}
    class: KeptSqliteStorage
    config:
      base_dir:
        env: DAGSTER_HOME
""".splitlines()[1:]
#: What earlier versions wrote above it.
OLD_COMMENT: Final = """
# Dagster's records in SQLite, in DAGSTER_HOME, through connections that stay open. Every process
# that opens the instance needs DAGSTER_HOME in its environment.
"""


def prepare_dagster_yaml(home: Path) -> None:
    """Create dagster.yaml in DAGSTER_HOME if it is missing, or take the storage class of earlier versions out of it.

    The section `storage` is removed with a UserFileWarning, and nothing else that the user wrote. Raises SettingsError
    if the section is not as earlier versions wrote it; the file is then unchanged. Raises OSError if the file cannot be
    read or written.
    """
    path = home / "dagster.yaml"
    if not path.exists():
        replace_file(path, resources.files("quant_assets").joinpath("defs", "dagster.yaml").read_bytes())
        return
    content = path.read_bytes() if path.is_file() else b""
    try:
        lines = content.decode().splitlines(keepends=True)
    except UnicodeDecodeError:
        return  # Dagster says what is wrong with it
    if not _names_old_storage(lines):
        return
    new = _without_old_storage(lines)
    if _names_old_storage(new):
        raise SettingsError(
            f"{path} names KeptSqliteStorage, which is gone: remove its section storage if base_dir is DAGSTER_HOME, "
            "or else replace it by storage: {sqlite: {base_dir: FOLDER}} with the folder that it names"
        )
    with atomic_write(path.resolve()) as temporary:
        temporary.write_bytes("".join(new).encode())
        shutil.copymode(path, temporary)
    warnings.warn(
        f"{path}: removed the section storage, whose class KeptSqliteStorage is gone; Dagster's default storage has "
        "the same records",
        UserFileWarning,
        stacklevel=2,
    )


def _names_old_storage(lines: Iterable[str]) -> bool:
    return any(OLD_MODULE in _without_comment(line) for line in lines)


def _without_old_storage(lines: list[str]) -> list[str]:
    """Return the lines of dagster.yaml without those of the old storage; comments and blank lines among them stay."""
    settings = [number for number, line in enumerate(lines) if _without_comment(line)]
    codes = [_without_comment(lines[number]) for number in settings]
    for first, code in enumerate(codes):
        if code == OLD_STORAGE[0] and codes[first : first + len(OLD_STORAGE)] == OLD_STORAGE:
            following = codes[first + len(OLD_STORAGE) :][:1]
            if following and following[0].startswith(" "):
                break  # more in the section
            removed = settings[first : first + len(OLD_STORAGE)]
            kept = [
                line[len(_without_comment(line)) :].lstrip() if number in removed else line
                for number, line in enumerate(lines)
            ]
            return "".join(kept).replace(OLD_COMMENT, "", 1).splitlines(keepends=True)
    return lines


def _without_comment(line: str) -> str:
    """Return a line of YAML without its comment and the spaces before that."""
    return f" {line}".partition(" #")[0].rstrip()[1:]
