"""What the photo stage passes on: faces that are used, and a verdict on every photo that was given."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal

import numpy as np

Use = Literal["both", "shape", "texture", "neither"]
"""What a photo may be used for."""

LABELS_SIDE = 512
"""Crops are labelled in at most so many pixels a side; larger ones' labels are enlarged."""


class FaceClass(IntEnum):
    """Parsing classes; the value is the label in ``PhotoFace.labels``."""

    BACKGROUND = 0
    SKIN = 1
    BROWS = 2
    EYES = 3
    GLASSES = 4
    LIPS = 5
    MOUTH_INTERIOR = 6
    HAIR = 7
    FACIAL_HAIR = 8
    EARS = 9
    NECK = 10
    OCCLUDER = 11


OTHERWISE = len(FaceClass)
"""A label beside those of ``FaceClass``, which no net gives: skin or beard that most of a person's photos show
otherwise. Nothing lies before it, so what is beside it counts."""


@dataclass(frozen=True)
class PhotoQuality:
    """How useful a face photo is; each part is 0 (useless) to 1 (perfect), ``score`` their weighted product."""

    score: float
    size: float
    sharpness: float
    yaw: float
    exposure: float
    occlusion: float


@dataclass(frozen=True)
class SurfaceLandmarks:
    """Points of the face's surface in a picture, hidden ones too, as the landmark net sees them.

    Attributes
    ----------
    places : (478, 2) float64 of the template's ``landmarks478``, x and y in crop pixels.
    deviation : (478,) float64 standard deviation of x and of y that the net claims, crop pixels.
    """

    places: np.ndarray
    deviation: np.ndarray


@dataclass(frozen=True)
class CorrectedLandmarks:
    """Landmarks that a person has put where they are.

    Attributes
    ----------
    landmarks : (N,) int64 of the 478, each once. places : (N, 2) float64 crop pixels.
    found : (478, 2) float32 where the detector has all 478.
    ears : (E,) int64 of the six ``head_points.ear_vertices``, each once; ear_places : (E, 2) float64 crop pixels.
    """

    landmarks: np.ndarray
    places: np.ndarray
    found: np.ndarray
    ears: np.ndarray
    ear_places: np.ndarray


@dataclass(frozen=True)
class PhotoFace:
    """One person's face in one photo, cut out of it.

    ``crop_px = crop_scale * (source_px - crop_offset)`` maps pixels of the EXIF-rotated file to pixels of ``pixels``
    (x right, y down, pixel centres at i + 0.5). Crops are square, edge-padded, at most 2048 px, never enlarged.

    Attributes
    ----------
    name : file name, unique within a collection.
    source_size : (width, height) of the file after EXIF rotation.
    focal_px : focal length in source pixels from EXIF, None when missing or when the file looks cropped.
    pixels : (H, W, 3) uint8 sRGB.
    crop_scale, crop_offset : see above; offset is (x, y) in source pixels.
    landmarks : (478, 3) float32, MediaPipe face mesh with irises, x and y in crop pixels, z on the same scale
        (smaller is nearer to the camera); corrected ones are where the person has put them.
    labels : (H, W) uint8 of ``FaceClass``.
    monochrome : True for black-and-white and sepia photos (colour losses use luminance).
    yaw_degrees : rough yaw from the landmarks, positive when the person looks to their own left.
    quality : see ``PhotoQuality``.
    surface : what the landmark net sees, None where it is not trained or was not asked.
    corrected : landmarks that a person has put in their places, None where nobody has. use : what the photo is for.
    unseen : (478,) bool landmarks that lie under what a person has masked, which ``labels`` calls an occluder; None
        where nobody has masked anything.
    hair_line : (N, 2) float64 crop pixels through which a person says that the hair line runs, None where nobody has.
    """

    name: str
    source_size: tuple[int, int]
    focal_px: float | None
    pixels: np.ndarray
    crop_scale: float
    crop_offset: tuple[float, float]
    landmarks: np.ndarray
    labels: np.ndarray
    monochrome: bool
    yaw_degrees: float
    quality: PhotoQuality
    surface: SurfaceLandmarks | None = None
    corrected: CorrectedLandmarks | None = None
    use: Use = "both"
    unseen: np.ndarray | None = None
    hair_line: np.ndarray | None = None


@dataclass(frozen=True)
class PhotoVerdict:
    """What became of one given photo; ``reason`` is a sentence for the person, empty when all is well."""

    name: str
    used: bool
    reason: str
    quality: PhotoQuality | None = None


@dataclass(frozen=True)
class PhotoCollection:
    """The faces to fit (best first) and a verdict on every photo that was given (in the given order)."""

    faces: tuple[PhotoFace, ...]
    verdicts: tuple[PhotoVerdict, ...] = field(default=())


def class_mask(labels: np.ndarray, classes: Iterable[FaceClass]) -> np.ndarray:
    """(H, W) uint8, 255 where ``labels`` (H, W) uint8 is one of ``classes``, else 0."""
    import cv2  # here: training machines have no OpenCV, and need FaceClass

    table = np.zeros(256, np.uint8)
    table[[int(one) for one in classes]] = 255
    return cv2.LUT(labels, table)
