"""Files and screening candidates that the photo stage's tests make."""

from __future__ import annotations

import io
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

with suppress(ImportError):  # no wheel for this platform
    import pillow_heif

    pillow_heif.register_heif_opener()

from backend.photos.collection import PhotoQuality
from backend.photos.faces import HeadPose, mean_landmarks
from backend.photos.screening import FaceCandidate


def encoded(picture: np.ndarray | Image.Image, kind: str = "PNG", **settings: object) -> bytes:
    """The picture as a file of the given kind."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    buffer = io.BytesIO()
    image.save(buffer, kind, **settings)
    return buffer.getvalue()


def upright(path: Path) -> Image.Image:
    """The photo at ``path`` as RGB, turned as EXIF says."""
    return ImageOps.exif_transpose(Image.open(path)).convert("RGB")


def candidate(photo: int, descriptor: np.ndarray | None = None, **changes: object) -> FaceCandidate:
    """A good face as the screening sees it; its fingerprint is that of no other photo."""
    rng = np.random.default_rng(1000 + photo)
    fingerprint = rng.normal(size=576)
    landmarks = (mean_landmarks().points * 100 + 300).astype(np.float32)
    values: dict = {
        "photo": photo,
        "detected": landmarks,
        "landmarks": landmarks,
        "turns": 0,
        "size_px": 300.0,
        "pose": HeadPose(0.0, 0.0, 0.0),
        "descriptor": np.array([1.0, 0.0, 0.0]) if descriptor is None else np.asarray(descriptor, dtype=float),
        "fingerprint": fingerprint / np.linalg.norm(fingerprint),
        "small_crop": np.zeros((8, 8, 3), np.uint8),
        "small_labels": np.zeros((8, 8), np.uint8),
        "accessories": None,
        "small_factor": 1.0,
        "quality": quality(),
    }
    return FaceCandidate(**(values | changes))


def quality(**changes: float) -> PhotoQuality:
    """A good photo's quality with some parts changed."""
    values = dict.fromkeys(("score", "size", "sharpness", "yaw", "exposure", "occlusion"), 0.9)
    return PhotoQuality(**(values | changes))
