"""The Dagster instance of a data folder: where it is, and opening it."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

import dagster as dg
import sqlalchemy
from dagster._check import CheckError
from filelock import FileLock
from yaml import YAMLError  # type: ignore[import-untyped]

from quant_assets.common.files import MAKE_WRITABLE, advice_for, replace_file
from quant_assets.common.settings import Settings, SettingsError, database_folder_problem


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """Open the Dagster instance in DAGSTER_HOME, or in the data folder; made where it is missing.

    Raises SettingsError where that folder, or the data folder, cannot be written.
    """
    try:
        home = instance_home(settings)
    except RuntimeError:
        raise SettingsError("DAGSTER_HOME names a home folder that there is none of") from None
    if problem := database_folder_problem(home):
        raise SettingsError(f"DAGSTER_HOME {problem}")
    try:
        home.mkdir(parents=True, exist_ok=True)
        for folder in (settings.data_dir, home):
            if folder.is_dir() and not os.access(folder, os.W_OK):
                raise SettingsError(f"{folder} cannot be written; {MAKE_WRITABLE}")
        if not (home / "dagster.yaml").exists():
            replace_file(home / "dagster.yaml", b"".join(map(_packaged, ("dagster.yaml", "sqlite_storage.yaml"))))
    except OSError as error:
        raise SettingsError(
            f"Dagster's instance cannot be kept in {home}: {error.strerror}; {advice_for(error)}"
        ) from None
    os.environ["DAGSTER_HOME"] = str(home)
    # Dagster makes its SQLite tables as it opens. Two processes that do so at once mark them twice, and neither they
    # nor anyone after them can open the instance then.
    with FileLock(home / "opening.lock"):
        try:
            return dg.DagsterInstance.get()
        except (dg.DagsterError, CheckError, YAMLError, UnicodeError, sqlalchemy.exc.DatabaseError) as error:
            if advice_for(error):
                raise
            reason = str(error).strip().partition("\n")[0]
            raise SettingsError(
                f"Dagster's instance in {home} cannot be opened ({reason:.300}); see to its dagster.yaml and to what "
                "that names. Damaged records may be moved away: they begin anew, and no table or feed is lost"
            ) from None


def _packaged(name: str) -> bytes:
    return resources.files("quant_assets.defs").joinpath(name).read_bytes()


def instance_home(settings: Settings) -> Path:
    """Return the folder of the instance: DAGSTER_HOME, or a folder in the data folder."""
    return Path(os.environ.get("DAGSTER_HOME") or settings.data_dir / "dagster").expanduser().absolute()
