"""Find and open the Dagster instance of a data folder."""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg
from filelock import FileLock

from quant_assets.common.files import MAKE_WRITABLE, advice_for
from quant_assets.common.settings import Settings, SettingsError, database_folder_problem
from quant_assets.orchestration.instance_config import prepare_dagster_yaml


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """Open the Dagster instance in DAGSTER_HOME, or in the data folder, and create it if it is missing.

    An instance of an earlier version is brought over. Raises SettingsError if that folder or the data folder cannot be
    written, or if the instance cannot be opened.
    """
    try:
        home = instance_home(settings)
    except RuntimeError:
        raise SettingsError("Invalid DAGSTER_HOME: the home folder that it names does not exist") from None
    if problem := database_folder_problem(home):
        raise SettingsError(f"DAGSTER_HOME {problem}")
    try:
        home.mkdir(parents=True, exist_ok=True)
        for folder in (settings.data_dir, home):
            if folder.is_dir() and not os.access(folder, os.W_OK):
                raise SettingsError(f"{folder} cannot be written; {MAKE_WRITABLE}")
        prepare_dagster_yaml(home)
    except OSError as error:
        raise SettingsError(
            f"Dagster's instance cannot be kept in {home}: {error.strerror}; {advice_for(error)}"
        ) from None
    os.environ["DAGSTER_HOME"] = str(home)
    # Dagster creates its SQLite tables when it opens an instance. Two processes that do so at the same time would
    # record the schema version twice, and no process could open the instance after that.
    with FileLock(home / "opening.lock"):
        try:
            return dg.DagsterInstance.get()
        except Exception as error:  # an invalid dagster.yaml raises errors that Dagster has no public names for
            if advice_for(error):
                raise
            reason = str(error).strip().partition("\n")[0]
            raise SettingsError(
                f"Dagster's instance in {home} cannot be opened ({reason:.300}); check its dagster.yaml, and the "
                "database and folders named there. You can move damaged records away: no table or feed is lost"
            ) from error


def instance_home(settings: Settings) -> Path:
    """Return the folder of the instance: DAGSTER_HOME, or `dagster` in the data folder."""
    return Path(os.environ.get("DAGSTER_HOME") or settings.data_dir / "dagster").expanduser().absolute()
