"""Choose real people with several photos and no truth, and the sets of their photos that are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trainer.data.halves import half_of, name_hash
from trainer.evaluate.likeness import people_folders

LEAST_PHOTOS = 4


@dataclass(frozen=True)
class PhotoSets:
    """Disjoint photos of a person: one ``first``, one ``second``, and others as ``rest``."""

    first: Path
    second: Path
    rest: tuple[Path, ...]

    @property
    def both(self) -> tuple[Path, Path]:
        """The first and the second photo."""
        return self.first, self.second


def people_of(folder: Path, half: str, most: int) -> dict[str, tuple[Path, ...]]:
    """At most ``most`` people of one half with at least ``LEAST_PHOTOS`` photos, and all their photos.

    They are ordered by the hashes of their names, so a larger ``most`` only adds people."""
    everybody = {name: photos for name, photos in people_folders(folder).items() if len(photos) >= LEAST_PHOTOS}
    names = sorted((name for name in everybody if half_of(name) == half), key=name_hash)
    return {name: everybody[name] for name in names[:most]}


def photo_sets(name: str, photos: Sequence[Path], most_rest: int) -> PhotoSets:
    """Split a person's photos, shuffled by a hash of their names; ``rest`` gets at most ``most_rest``.

    Raises ``ValueError`` for fewer than ``LEAST_PHOTOS``.
    """
    if len(photos) < LEAST_PHOTOS:
        raise ValueError(f"{name} has {len(photos)} photos; {LEAST_PHOTOS} are needed")
    shuffled = sorted(photos, key=lambda path: name_hash(f"{name}/{path.name}"))
    return PhotoSets(shuffled[0], shuffled[1], tuple(shuffled[2 : 2 + most_rest]))
