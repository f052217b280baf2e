"""The strategies with the parameters in force, whose words the page shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from quant_assets.common.file_identity import FileIdentity
from quant_assets.common.settings import Settings
from quant_assets.dashboard.feed_repository import file_version
from quant_assets.signals import GateIndex, ParametersError, Strategy, discover_strategies, with_parameters


@dataclass(frozen=True, eq=False, slots=True)
class InForce:
    """The strategies by name, their gates, and what is wrong with the file of parameters ("" if nothing is).

    If the file is invalid, the parameters are the defaults.
    """

    version: FileIdentity | None
    strategies: Mapping[str, Strategy]
    gates: GateIndex
    problem: str


class StrategyRepository:
    """The installed strategies. The file of parameters is read again when it has changed."""

    def __init__(self, settings: Settings) -> None:
        self._path = settings.strategies_path
        self._installed: Final = discover_strategies(settings.strategies_dir).strategies
        self._in_force = self._read(file_version(self._path))

    def in_force(self) -> InForce:
        """Return the strategies with the parameters in force."""
        version = file_version(self._path)
        if version != self._in_force.version:
            self._in_force = self._read(version)
        return self._in_force

    def _read(self, version: FileIdentity | None) -> InForce:
        strategies, problem = self._installed, ""
        try:
            strategies = with_parameters(strategies, self._path)
        except ParametersError as error:
            problem = str(error).replace(str(self._path), self._path.name)  # no folder of the server on a page
        return InForce(version, {found.name: found for found in strategies}, GateIndex(strategies), problem)
