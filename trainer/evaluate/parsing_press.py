"""Count the product's errors about glasses, beards and headwear on annotated press photos, which are not trained on."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from backend.models.parsing.accessories import AccessoryScores
from backend.models.parsing.apply import WORK_SIDE, look_at_face
from backend.models.parsing.headwear import Headwear
from backend.models.parsing.parsed_labels import FaceLabels
from backend.models.parsing.person_voting import vote_over_photos
from backend.photos.collection import FaceClass
from backend.photos.faces.crop import crop_head
from backend.photos.faces.landmarks import landmarks_of_largest
from backend.photos.regions.polygons import above_brows
from trainer.evaluate.listed_photos import read_listed_photo

PRESS_PATH = Path(__file__).parent / "press_worn.csv"
"""Annotations by two observers of 840 photos of 140 people who are not on the parsing sheet: path below the folder of
all photographs, and 1 or 0, or 9 for undecidable, for each of ``KINDS``."""
KINDS = ("glasses", "moustache", "beard", "headwear")
_CANNOT_TELL = 9
_HEADWEAR = 0.1
"""Area of occluder above the brows, relative to the face's skin, from which it counts as a hat or a band."""


@dataclass(frozen=True)
class PressPhoto:
    """A photo's path below the folder of all photographs; whether its person wears each of ``KINDS``, None: unknown."""

    path: str
    worn: Mapping[str, bool | None]

    @property
    def person(self) -> str:
        """Name of the folder of the person's photos."""
        return Path(self.path).parent.name


def read_press_photos(path: Path = PRESS_PATH) -> tuple[PressPhoto, ...]:
    """Read all photos of the list, those of one person consecutive."""

    def seen(text: str) -> bool | None:
        return None if int(text) == _CANNOT_TELL else bool(int(text))

    with path.open(newline="", encoding="utf-8") as file:
        return tuple(
            PressPhoto(row["photo"], {kind: seen(row[kind]) for kind in KINDS}) for row in csv.DictReader(file)
        )


def count_wrong(
    truths: Sequence[Mapping[str, bool | None]], found: Sequence[Mapping[str, bool | None]]
) -> dict[str, float]:
    """``<kind>.worn`` and ``<kind>.bare``, numbers of photos with known answer, and ``<kind>.missed`` and
    ``<kind>.invented`` among them; kinds without a result in ``found`` do not count."""
    counts: Counter[str] = Counter()
    for truth, said in zip(truths, found, strict=True):
        for kind, worn in truth.items():
            if worn is None or said.get(kind) is None:
                continue
            counts[f"{kind}.worn" if worn else f"{kind}.bare"] += 1
            counts[f"{kind}.missed"] += worn and not said[kind]
            counts[f"{kind}.invented"] += said[kind] and not worn
    return {name: float(value) for name, value in sorted(counts.items())}


def press_figures(photographs: Path) -> dict[str, float]:
    """``press.…``: ``count_wrong`` of each photo by itself, and ``press.together.…`` with the votes of the person's
    other photos.

    Raises ``LikenessError`` where a photo is missing.
    """
    truths, alone, together = [], [], []
    for _, photos in groupby(read_press_photos(), lambda photo: photo.person):
        looked = [(photo, *found) for photo in photos if (found := _look(photographs, photo)) is not None]
        voted = vote_over_photos([labels.accessories for _, labels, _ in looked])
        for (photo, labels, headwear), scores in zip(looked, voted, strict=True):
            truths.append(photo.worn)
            alone.append({kind: score > 0 for kind, score in _scores(labels.accessories)} | {"headwear": headwear})
            together.append({kind: score > 0 for kind, score in _scores(scores)})
    figures = {f"press.{name}": value for name, value in count_wrong(truths, alone).items()}
    return figures | {f"press.together.{name}": value for name, value in count_wrong(truths, together).items()}


def _scores(worn: AccessoryScores | None) -> Iterator[tuple[str, float]]:
    """Log odds by kind, for the kinds with a score."""
    for kind in KINDS:
        score = getattr(worn, kind, np.nan)
        if isinstance(score, Headwear):
            score = score.score
        if score is not None and not np.isnan(score):
            yield kind, score


def _look(photographs: Path, photo: PressPhoto) -> tuple[FaceLabels, bool] | None:
    """The product's labels of a photo's largest face, and whether there is headwear; None without a face."""
    pixels = read_listed_photo(photographs, photo.path)
    landmarks = landmarks_of_largest(pixels)
    if landmarks is None:
        return None
    crop = crop_head(pixels, landmarks, max_side=WORK_SIDE)
    places = crop.to_crop(landmarks)
    found = look_at_face(crop.pixels, places, crop.covered)
    labels, above = found.labels, above_brows(places, crop.pixels.shape[0])
    on_top = (labels == FaceClass.OCCLUDER) & above
    return found, bool(on_top.sum() > _HEADWEAR * (labels == FaceClass.SKIN).sum())
