"""Copying the objects of a lake to another place, such as from a folder to a bucket and back."""

from __future__ import annotations

from dataclasses import dataclass

from quant_assets.common.progress import Progress, silent
from quant_assets.storage.lake import Lake
from quant_assets.storage.objects import StoredObject


@dataclass(frozen=True, slots=True)
class ObjectPlan:
    """What a copy has to do.

    Attributes:
        missing: names of objects that the target lacks, or of which it has an older version, in the order to copy.
        present: the number of objects that the target has already.
        newer: names of objects of which the target has a newer, other version.
    """

    missing: tuple[str, ...]
    present: int
    newer: tuple[str, ...]


def plan_copy(source: Lake, target: Lake, progress: Progress = silent) -> ObjectPlan:
    """Compare two lakes; nothing is written. Raises UnreachableObject.

    An object that both have in different versions is newer where it was written later, by the times of both places.
    """
    there = {stored.name: stored for stored in target.objects.listing()}
    # Deeper names first: the counts of a series, which say what its bars are, come after them.
    found = sorted(_objects(source), key=lambda stored: (-stored.name.count("/"), stored.name))
    missing: list[str] = []
    newer: list[str] = []
    for number, stored in enumerate(found, start=1):
        other = there.get(stored.name)
        if other is None:
            missing.append(stored.name)
        elif not _is_same(source, target, stored, other):
            (newer if _is_later(other, stored) else missing).append(stored.name)
        progress("compare", number, len(found))
    return ObjectPlan(tuple(missing), len(found) - len(missing) - len(newer), tuple(newer))


def copy_objects(source: Lake, target: Lake, names: tuple[str, ...], progress: Progress = silent) -> int:
    """Copy objects, each as a whole; return how many. One that was removed since is left out. Raises WriteError."""
    copied = 0
    for number, name in enumerate(names, start=1):
        content = source.objects.get(name)
        if content is not None:
            target.objects.put(name, content)
            copied += 1
        progress("copy", number, len(names))
    return copied


def _objects(lake: Lake) -> list[StoredObject]:
    """Return the objects of a lake without the temporary files of killed writers."""
    return [stored for stored in lake.objects.listing() if not stored.name.rpartition("/")[2].startswith(".")]


def _is_same(source: Lake, target: Lake, stored: StoredObject, other: StoredObject) -> bool:
    return stored.size == other.size and source.objects.get(stored.name) == target.objects.get(stored.name)


def _is_later(other: StoredObject, stored: StoredObject) -> bool:
    """Return whether the other object was written later; an unknown time counts as later, so that nothing is lost."""
    if other.modified_seconds is None or stored.modified_seconds is None:
        return True
    return other.modified_seconds > stored.modified_seconds
