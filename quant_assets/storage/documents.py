"""One document at a path or URL, such as the feed that consumers read."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path

from quant_assets.storage.objects import ObjectStore, open_objects


@dataclass(frozen=True, slots=True)
class Document:
    """A document, which appears whole or not at all. Methods raise UnreachableObject for a URL."""

    objects: ObjectStore
    name: str

    @classmethod
    def at(cls, place: Path | str) -> Document:
        """Return the document of a path, or of a URL like `s3://bucket/feed.json`."""
        if isinstance(place, Path):
            return cls(open_objects(place.parent), place.name)
        folder, _, name = place.rpartition("/")
        return cls(open_objects(folder), name)

    def __str__(self) -> str:
        """Return where the document is, without credentials."""
        return self.objects.describe(self.name)

    def exists(self) -> bool:
        """Return whether there is one."""
        return self.objects.exists(self.name)

    def read(self) -> bytes | None:
        """Return the content, None if there is none. Raises OSError."""
        return self.objects.get(self.name)

    def write(self, content: bytes) -> None:
        """Write the content as a whole. Raises WriteError."""
        self.objects.put(self.name, content)

    def version(self) -> Hashable | None:
        """Return a value that changes when the document does; None if there is none, or if that is unknown."""
        return self.objects.version(self.name)
