"""Real people with several photos and no truth: who is measured on, and which photos are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trainer.data.halves import half_of, name_hash
from trainer.evaluate.likeness import people_folders

LEAST_PHOTOS = 4


@dataclass(frozen=True)
class PhotoSets:
    """Disjoint photos of a person: ``first`` and ``second`` are one each, ``rest`` all others."""

    first: Path
    second: Path
    rest: tuple[Path, ...]

    @property
    def both(self) -> tuple[Path, Path]:
        """The first two."""
        return self.first, self.second


def people_of(folder: Path, half: str, most: int) -> dict[str, tuple[Path, ...]]:
    """At most ``most`` people of one half who have ``LEAST_PHOTOS`` photos, with all their photos, in the order of
    their names' hashes: more people are the same and others."""
    everybody = {name: photos for name, photos in people_folders(folder).items() if len(photos) >= LEAST_PHOTOS}
    names = sorted((name for name in everybody if half_of(name) == half), key=name_hash)
    return {name: everybody[name] for name in names[:most]}


def photo_sets(name: str, photos: Sequence[Path], most_rest: int) -> PhotoSets:
    """The person's photos, shuffled by a hash of their names, of which ``rest`` gets at most ``most_rest``.

    Raises ``ValueError`` for fewer than ``LEAST_PHOTOS``.
    """
    if len(photos) < LEAST_PHOTOS:
        raise ValueError(f"{name} has {len(photos)} photos; {LEAST_PHOTOS} are needed")
    shuffled = sorted(photos, key=lambda path: name_hash(f"{name}/{path.name}"))
    return PhotoSets(shuffled[0], shuffled[1], tuple(shuffled[2 : 2 + most_rest]))
