"""The configuration that all machines must have in common: a tag of a run, compared by the machine that executes it."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Final

import dagster as dg

from quant_assets.common.settings import VARIABLES, Settings

#: The tag of a run with the digest of each part of the configuration, as in `resolution.toml=1f2e3d4c5b6a`.
CONFIGURATION_TAG: Final = "quant_assets/configuration"
#: Hexadecimal digits of a digest.
DIGEST_LENGTH: Final = 12
#: The part for all files of the folder of strategies: its name for each of them would make the tag too long.
STRATEGIES: Final = "strategies/"
#: The part for the version of the program.
PROGRAM: Final = "quant-assets"
#: Fields of the settings that decide where a run writes and how fast it sends. Origins guard the other addresses.
_SHARED_SETTINGS: Final = ("lake_url", "feed_url", "calls_per_minute")


def has_several_machines(settings: Settings) -> bool:
    """Return whether tables or records are shared, so that a run may be executed on another machine."""
    return settings.lake_url is not None or settings.database_url is not None


@dataclass(frozen=True, slots=True)
class Configuration:
    """Name → digest of each part of a machine's configuration; a file that is missing has none. It has no secret."""

    digests: Mapping[str, str]

    @classmethod
    def of(cls, settings: Settings) -> Configuration:
        """Read the configuration of this machine. Raises OSError if a file cannot be read."""
        found = dict(_parts(settings))
        return cls({name: sha256(content).hexdigest()[:DIGEST_LENGTH] for name, content in found.items()})

    @classmethod
    def of_tag(cls, tag: str) -> Configuration:
        """Read the tag of a run."""
        pairs = (part.rpartition("=") for part in tag.split())
        return cls({name: digest for name, _, digest in pairs})

    @property
    def tag(self) -> str:
        """Return the value of the tag."""
        return " ".join(f"{name}={digest}" for name, digest in sorted(self.digests.items()))

    def differences(self, other: Configuration) -> list[str]:
        """Return the names of the parts that another machine has otherwise, or does not have."""
        names = sorted({*self.digests, *other.digests})
        return [name for name in names if self.digests.get(name) != other.digests.get(name)]


def require_configuration_of_run(run: dg.DagsterRun | None, settings: Settings) -> None:
    """Raise dg.Failure if the run was launched by a machine with another configuration than this one."""
    tag = None if run is None else run.tags.get(CONFIGURATION_TAG)
    if tag is None:
        return
    different = Configuration.of(settings).differences(Configuration.of_tag(tag))
    if different:
        raise dg.Failure(
            f"{socket.gethostname()} has another configuration than the machine that launched this run: "
            f"{', '.join(different)} differ{'s' * (len(different) == 1)}. {' '.join(_remedies(different, settings))} "
            "Then restart the workers, and launch the run again",
            metadata={"different": different},
            allow_retries=False,
        )


def _parts(settings: Settings) -> Iterator[tuple[str, bytes]]:
    for path in sorted(settings.data_dir.glob("*.toml")):
        yield path.name.replace(" ", "_"), path.read_bytes()
    if files := _strategy_files(settings.strategies_dir):
        yield STRATEGIES, b"\0".join(name.encode() + b"\0" + path.read_bytes() for name, path in files)
    for field in _SHARED_SETTINGS:
        if (value := getattr(settings, field)) is not None:
            yield VARIABLES[field], str(value).encode()
    yield PROGRAM, version(PROGRAM).encode()


def _strategy_files(folder: Path | None) -> list[tuple[str, Path]]:
    """Return the Python files of the folder of strategies, without tests."""
    if folder is None:
        return []
    files = [path for path in folder.rglob("*.py") if not path.name.startswith("test_")]
    return sorted((str(path.relative_to(folder)), path) for path in files)


def _remedies(different: list[str], settings: Settings) -> Iterator[str]:
    """Yield what to do about each kind of part."""
    if any(name.endswith(".toml") for name in different):
        yield f"Copy the TOML files of the data folder from there to {settings.data_dir}."
    if STRATEGIES in different:
        yield f"Copy the strategies from there to {settings.strategies_dir}."
    if variables := [name for name in different if name in VARIABLES.values()]:
        yield f"Set {' and '.join(variables)} to the value there."
    if PROGRAM in different:
        yield "Install the version of quant_assets that is there."
