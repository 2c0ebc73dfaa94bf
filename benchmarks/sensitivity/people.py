"""People whose photos are fitted, and of whom one photo is left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from backend.fitting.fitted_face import FittedFace
from backend.fitting.options import fit_options_for
from backend.models.registry import open_models
from backend.photos.collect import collect
from backend.photos.collection import PhotoFace
from backend.photos.formats import PhotoSource
from trainer.evaluate.estimate import fit_with
from trainer.evaluate.held_out import left_out


@dataclass(frozen=True)
class FittedPerson:
    """A fit, its faces, and the name of the photo that is left out."""

    fitted: FittedFace
    faces: tuple[PhotoFace, ...]
    left_out: str


def fitted_person(photos: Sequence[Path], most: int, quality: str) -> FittedPerson:
    """Fit at most ``most`` photos and choose the middle one, of two the first, to be left out."""
    collection = collect([PhotoSource.from_path(path) for path in photos[:most]])
    fitted = fit_with(collection, fit_options_for(quality), open_models())
    number = left_out(len(fitted.photos), 3)[-2] if len(fitted.photos) > 2 else 0
    return FittedPerson(fitted, collection.faces, fitted.photos[number].name)
