"""Photos to the pictures of one canonical face: the whole story of ``python -m backend canonical``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from backend.fitting.canonical_place import CanonicalPlace
from backend.fitting.canonical_stage import place_by_landmarks
from backend.geometry.template import load_template
from backend.models.device import computing_device
from backend.models.landmarks import LANDMARK_NET
from backend.models.lap import LAP
from backend.models.lap.apply import STAGE, canonical_face
from backend.models.lap.canonical_face import CanonicalFace
from backend.models.lap.pictures import CanonicalPictures, canonical_pictures
from backend.photos.collect import collect
from backend.photos.reading.source import PhotoSource
from backend.progress import ProgressReporter, silent
from backend.stages import WRITING

PICTURES = "pictures"
STAGES: tuple[tuple[str, float], ...] = (("photos", 0.5), (STAGE, 0.2), (PICTURES, 0.2), (WRITING, 0.1))
"""Every stage that reports progress, in order, with its usual share of the whole time."""


@dataclass(frozen=True)
class Canonical:
    """What ``make_canonical`` made: the face, its pictures, where it lies on the mean head, and name, used and reason
    of every given photo."""

    face: CanonicalFace
    pictures: CanonicalPictures
    place: CanonicalPlace
    verdicts: tuple[Mapping[str, Any], ...]

    def in_head(self, points: np.ndarray) -> np.ndarray:
        """Canonical points (..., 3) in the head frame, metres."""
        return self.place.undo(points)


def make_canonical(
    sources: Sequence[PhotoSource], device: str = "auto", progress: ProgressReporter = silent
) -> Canonical:
    """Make one person's canonical face and draw it.

    Raises
    ------
    LikenessError : with a sentence for the person (a network not trained, no photo, no face).
    errors.Cancelled : when ``progress`` raised it.
    """
    model = LAP.load(computing_device(device))  # before the photos: without it there is nothing to wait for
    if model.wants_surface:
        LANDMARK_NET.load()
    collection = collect(sources, progress=progress)
    face = canonical_face(collection.faces, model, progress)
    progress(PICTURES, 0.0)
    pictures = canonical_pictures(face, collection.faces)
    progress(PICTURES, 1.0)
    place = place_by_landmarks(load_template(), face)
    verdicts = tuple({"name": one.name, "used": one.used, "reason": one.reason} for one in collection.verdicts)
    return Canonical(face, pictures, place, verdicts)
