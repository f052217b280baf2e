"""The registry of providers: the built-in ones, and those of installed packages."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

from quant_assets.common.database_server import DatabaseServer
from quant_assets.common.plugins import load_plugin, plugins_of
from quant_assets.common.settings import Settings
from quant_assets.providers.base import Provider
from quant_assets.providers.coinalyze.provider import Coinalyze

ENTRY_POINT_GROUP: Final = "quant_assets.providers"
"""Group of entry points that load a class that implements `Provider`."""
LOADED_PROVIDERS: Final = "QUANT_ASSETS_LOADED_PROVIDERS"
"""Variable with the names of the providers of a code location. Its run processes inherit it: they leave out what was
installed later, since the graph of the code location lacks it."""
BUILT_IN: Final[tuple[Provider, ...]] = (Coinalyze(),)
"""The providers of this project, in packages beside this module."""
DEFAULT: Final = BUILT_IN[0]
"""The provider of all datasets whose entry or data/providers.toml names no other."""

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
_TEXTS: Final = ("name", "label", "url")
_METHODS: Final = ("origin", "calls_per_minute", "has_key", "find_problem", "connect")


def discover_providers(loaded: Collection[str] | None = None) -> tuple[dict[str, Provider], list[str]]:
    """Return the providers by name, the default first, and one message for each that is not valid.

    If `loaded` is given, only those that it names are returned.
    """
    found, problems = {provider.name: provider for provider in BUILT_IN}, []
    for source, load in plugins_of(ENTRY_POINT_GROUP):
        provider, problem = load_plugin(load, lambda provider: _problem(provider, found))
        if problem:
            problems.append(f"{source} {problem}")
        elif loaded is None or provider.name in loaded:
            found[provider.name] = provider
    return found, problems


def _problem(provider: Any, taken: Collection[str]) -> str:
    """Return why an object is not a valid provider, "" if it is one."""
    missing = [name for name in _TEXTS if not isinstance(getattr(provider, name, None), str)]
    if not isinstance(getattr(provider, "symbols_per_request", None), int) or provider.symbols_per_request < 1:
        missing.append("symbols_per_request of 1 or more")
    missing += [name for name in _METHODS if not callable(getattr(provider, name, None))]
    if missing:
        return f"is not a provider: it has no {', '.join(missing)}"
    if not _NAME.fullmatch(provider.name):
        return f"has an invalid name {provider.name!r}: expected a lower-case letter, then letters, digits, underscores"
    if provider.name in taken:
        return f"has the name {provider.name!r}, which another provider has: rename it, or uninstall one of them"
    return ""


_loaded = os.environ.get(LOADED_PROVIDERS)
_found, _problems = discover_providers(None if _loaded is None else _loaded.split(","))
PROVIDERS: Final[Mapping[str, Provider]] = _found
"""Name → provider, the default first."""
PROBLEMS: Final[tuple[str, ...]] = tuple(_problems)
"""What is wrong with providers of installed packages, which are left out."""


def provider_name(symbol: str) -> str:
    """Return the text before a symbol's colon, Coinalyze's name without one, "" for "". It may not be installed."""
    name, colon, _ = symbol.partition(":")
    return name if colon or not symbol else DEFAULT.name


def budget_path(provider: Provider, settings: Settings) -> Path | DatabaseServer:
    """Return the database of a provider's call budget."""
    if provider is DEFAULT:
        return settings.budget_path
    return settings.budget_place(f"{provider.name}-{provider.origin(settings)}")
