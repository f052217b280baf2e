"""What a command prepares before it works: settings, data folder, the user's TOML files, Dagster's logging."""

from __future__ import annotations

import logging
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from dotenv import load_dotenv

from quant_assets.cli.errors import echo_err, usage_error
from quant_assets.common.settings import Settings, SettingsError

if TYPE_CHECKING:
    from quant_assets.signals import Strategy


def load_settings(*, fetches: bool) -> Settings:
    """Read the environment and .env, and check them against the origin of the data folder; exit if they are invalid.

    `fetches` is whether the command may send requests to the provider if there is a key.
    """
    from quant_assets.storage.origins import OriginError, settings_for_data_folder  # noqa: PLC0415

    settings = settings_from_environment()
    try:
        return settings_for_data_folder(settings, os.environ, fetches=fetches)
    except OriginError as error:
        usage_error(str(error))


def settings_from_environment() -> Settings:
    """Read the environment and .env, without the origin of the data folder; exit if they are invalid.

    Creates nothing.
    """
    try:
        if Path(".env").is_file():
            load_dotenv(Path(".env"))
    except UnicodeDecodeError:
        usage_error(".env is not UTF-8 text; write it again, with lines such as COINALYZE_API_KEY=…")
    except OSError as error:
        usage_error(f".env cannot be read ({error.strerror}); make it readable, or move it away")
    except ValueError:  # a value with a null character; the message of the error would show the value
        usage_error(
            ".env has a character that no variable can have; write it again, with lines such as COINALYZE_API_KEY=…"
        )
    try:
        settings = Settings.from_environment(os.environ)
    except SettingsError as error:
        usage_error(str(error))
    try:
        os.scandir(settings.data_dir).close()
    except FileNotFoundError:
        pass  # a command that writes creates it
    except OSError as error:
        _exit_for_data_folder(settings, error)
    return settings


def create_data_folder(settings: Settings) -> None:
    """Create the data folder if it is missing; exit if it cannot be created."""
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _exit_for_data_folder(settings, error)


def check_config_files(settings: Settings) -> tuple[Strategy, ...]:
    """Exit if one of the user's TOML files is invalid: refresh policy, providers, resolution, retention, strategies.

    Returns the strategies with the parameters in force.
    """
    from quant_assets.derivatives.policy import PolicyError, load_policy  # noqa: PLC0415
    from quant_assets.derivatives.provider_choice import ProviderChoiceError, load_provider_choice  # noqa: PLC0415
    from quant_assets.markets import RulesError, load_rules  # noqa: PLC0415
    from quant_assets.signals import ParametersError, strategies_in_force  # noqa: PLC0415
    from quant_assets.storage.retention import RetentionError, load_retention  # noqa: PLC0415

    try:
        load_policy(settings.policy_path)
        load_provider_choice(settings.providers_path)
        load_rules(settings.rules_path)
        load_retention(settings.retention_path)
        return strategies_in_force(settings.strategies_path, settings.strategies_dir)
    except (PolicyError, ProviderChoiceError, RulesError, RetentionError, ParametersError) as error:
        usage_error(str(error))


def silence_dagster() -> None:
    """Keep Dagster's warnings and logs off the terminal; its instance still records runs and events."""
    warnings.filterwarnings("ignore", module=r"dagster(\..*)?")
    logging.getLogger("dagster").setLevel(logging.CRITICAL)


def warn_about_missing_key(settings: Settings) -> None:
    """Print what a missing API key means, if it is missing."""
    if not settings.has_key(os.environ):
        from quant_assets.signals.scores import OI_FLOW_MAX, OI_FLOW_NEUTRAL  # noqa: PLC0415

        echo_err(
            f"no API key: set {settings.key_variable}. Nothing is fetched from Coinalyze, and unknown data count as "
            f"neutral: open interest scores {OI_FLOW_NEUTRAL:g} of {OI_FLOW_MAX:g}"
        )


def _exit_for_data_folder(settings: Settings, error: OSError) -> NoReturn:
    usage_error(f"QUANT_DATA_DIR: {settings.data_dir} cannot be used as a folder: {error.strerror}")
