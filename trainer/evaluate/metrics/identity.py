"""Identity distance between face embeddings (dlib's 128-D network, for evaluation only)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from backend.errors import LikenessError


@lru_cache(maxsize=1)
def _recogniser():
    try:
        import face_recognition
    except (ImportError, SystemExit) as problem:
        raise LikenessError(
            "missing_part",
            "The identity distance needs the package face_recognition.",
            "Install dlib-bin and, with --no-deps, face_recognition_models and face_recognition (and setuptools<81).",
        ) from problem
    return face_recognition


Box = tuple[int, int, int, int]
"""Top, right, bottom, left of a face in pixels."""


def face_embedding(picture: np.ndarray) -> np.ndarray | None:
    """(128,) embedding of the largest face of an (H, W, 3) uint8 sRGB picture; None when no face is found."""
    recogniser = _recogniser()
    picture = np.ascontiguousarray(picture)
    boxes = recogniser.face_locations(picture) or recogniser.face_locations(picture, number_of_times_to_upsample=2)
    if not boxes:
        box = _mediapipe_box(picture)
        if box is None:
            return None
        boxes = [box]
    return embedding_in(picture, max(boxes, key=lambda box: (box[2] - box[0]) * (box[1] - box[3])))


def embedding_in(picture: np.ndarray, box: Box) -> np.ndarray:
    """(128,) embedding of the face in a box of an (H, W, 3) uint8 sRGB picture."""
    return np.asarray(_recogniser().face_encodings(np.ascontiguousarray(picture), [box], model="large")[0])


def _mediapipe_box(picture: np.ndarray) -> Box | None:
    """``dlib_box`` of MediaPipe's detection."""
    from trainer.data.surface_landmarks import detect_landmarks

    marks = detect_landmarks(picture)
    return None if marks is None else dlib_box(marks)


def dlib_box(marks: np.ndarray) -> Box:
    """dlib's framing of a face (brows to chin, square) from MediaPipe landmarks (468 or more, 2 or 3) in pixels."""
    top, bottom = marks[[70, 300, 105, 334], 1].min(), marks[152, 1]
    x, y, half = marks[:468, 0].mean(), (top + bottom) / 2, 0.52 * (bottom - top)
    return int(y - half), int(x + half), int(y + half), int(x - half)


@dataclass(frozen=True)
class IdentityDistance:
    """Mean distance of the renders' embeddings to the photos', per render (NaN where no face was found) and overall."""

    per_render: tuple[float, ...]
    mean: float


def identity_distance(renders: Sequence[np.ndarray], photos: Sequence[np.ndarray]) -> IdentityDistance:
    """Distance of each render's face to the same person's photos, given their embeddings (128,) each."""
    if not photos:
        raise ValueError("no photo embedding to compare with")
    gallery = np.stack(photos)
    distances = tuple(
        float("nan") if np.isnan(render).any() else float(np.linalg.norm(gallery - render, axis=1).mean())
        for render in renders
    )
    return IdentityDistance(distances, float(np.nanmean(distances)) if distances else float("nan"))
