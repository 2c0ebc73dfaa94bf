"""Images of one canonical face from photos: the pipeline of ``python -m backend canonical``."""

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
"""All stages that report progress, in order, with their usual share of the total time."""


@dataclass(frozen=True)
class Canonical:
    """Result of ``make_canonical``: the face, its images, its placement on the mean head, and name, used and reason of
    every given photo."""

    face: CanonicalFace
    pictures: CanonicalPictures
    place: CanonicalPlace
    verdicts: tuple[Mapping[str, Any], ...]

    def in_head(self, points: np.ndarray) -> np.ndarray:
        """Map canonical points (..., 3) to the head frame, metres."""
        return self.place.undo(points)


def make_canonical(
    sources: Sequence[PhotoSource], device: str = "auto", progress: ProgressReporter = silent
) -> Canonical:
    """Reconstruct and draw one person's canonical face.

    Raises
    ------
    LikenessError : with a sentence for the user (a network not trained, no photo, no face).
    errors.Cancelled : ``progress`` raised it.
    """
    model = LAP.load(computing_device(device))  # before the photos, to fail early if it is missing
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
