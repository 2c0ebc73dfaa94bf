"""Results of the photo stage: the faces to use, and a verdict on every given photo."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal

import numpy as np

Use = Literal["both", "shape", "texture", "neither"]
"""What a photo may be used for."""

LABELS_SIDE = 512
"""Longest side in pixels at which crops are labelled; labels of larger crops are enlarged."""


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


CONTRADICTED_LABEL = len(FaceClass)
"""Label for skin or beard that contradicts most of the person's photos. It is set by us, not by the parsing net, and is
not an occluder, so the pixels beside it stay valid."""


@dataclass(frozen=True)
class PhotoQuality:
    """Usefulness of a face photo; each part is 0 (useless) to 1 (perfect), ``score`` their weighted product."""

    score: float
    size: float
    sharpness: float
    yaw: float
    exposure: float
    occlusion: float


@dataclass(frozen=True)
class SurfaceLandmarks:
    """Points of the face's surface, including occluded ones, predicted by the landmark net.

    Attributes
    ----------
    positions : (478, 2) float64 of the template's ``landmarks478``, x and y in crop pixels.
    deviation : (478,) float64 standard deviation of x and of y predicted by the net, crop pixels.
    """

    positions: np.ndarray
    deviation: np.ndarray


@dataclass(frozen=True)
class CorrectedLandmarks:
    """Landmarks placed by the user.

    Attributes
    ----------
    landmarks : (N,) int64 of the 478, each once. positions : (N, 2) float64 crop pixels.
    detected : (478, 2) float32 positions of all 478 from the detector.
    ears : (E,) int64 of the six ``template.ear_vertices``, each once; ear_positions : (E, 2) float64 crop pixels.
    """

    landmarks: np.ndarray
    positions: np.ndarray
    detected: np.ndarray
    ears: np.ndarray
    ear_positions: np.ndarray


@dataclass(frozen=True)
class PhotoFace:
    """One person's face, cropped from one photo.

    ``crop_px = crop_scale * (source_px - crop_offset)`` maps pixels of the upright photo to pixels of ``pixels``
    (x right, y down, pixel centres at i + 0.5). Crops are square, edge-padded, at most 2048 px, never enlarged. The
    upright photo is the EXIF-rotated file after ``turns`` quarter turns; all stages work in it, and
    ``file_from_crop`` leads back to the file.

    Attributes
    ----------
    name : file name, unique within a collection.
    source_size : (width, height) of the upright photo.
    focal_px : focal length in source pixels from EXIF, None when missing or when the file looks cropped.
    pixels : (H, W, 3) uint8 sRGB; grey for a monochrome photo.
    crop_scale, crop_offset : see above; offset is (x, y) in source pixels.
    landmarks : (478, 3) float32, x and y in crop pixels, z on the same scale (smaller is nearer to the camera): the
        outline and depths of MediaPipe's mesh, and inside the landmark net's places; corrected ones are the user's.
    labels : (H, W) uint8 of ``FaceClass``.
    monochrome : True for black-and-white and sepia photos (colour losses use luminance).
    yaw_degrees : rough yaw from the landmarks, positive when the person looks to their own left.
    quality : see ``PhotoQuality``.
    surface : prediction of the landmark net, None where it is not trained or not asked for.
    corrected : landmarks placed by the user, None without any. use : what the photo is used for.
    unseen : (478,) bool landmarks under the user's mask, whose pixels ``labels`` calls an occluder; None without a
        mask.
    hair_line : (N, 2) float64 crop pixels on the hairline, placed by the user; None without any.
    turns : counter-clockwise quarter turns, 0 to 3, that turn the EXIF-rotated file upright (``np.rot90``).
    glasses : probability that this face wears any, after all photos' votes.
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
    turns: int = 0
    glasses: float = 0.0

    @property
    def file_size(self) -> tuple[int, int]:
        """(width, height) of the file after EXIF rotation."""
        return self.source_size if self.turns % 2 == 0 else self.source_size[::-1]

    @property
    def lens_centre(self) -> np.ndarray:
        """(2,) crop pixels, where the lens looked: the picture's centre. Nobody's lens takes pictures beyond 2 : 1, so
        in panoramas, banners and collages it is the crop's centre."""
        width, height = self.source_size
        if max(width, height) > 2 * min(width, height) and self.focal_px is None:
            return np.array(self.pixels.shape[1::-1]) / 2.0
        return self.crop_scale * (np.array([width, height]) / 2.0 - np.asarray(self.crop_offset, np.float64))

    @property
    def file_from_crop(self) -> np.ndarray:
        """(3, 3) homogeneous map from crop pixels to pixels of the file after EXIF rotation."""
        step, (left, top) = 1.0 / self.crop_scale, self.crop_offset
        to_file = np.array([[step, 0.0, left], [0.0, step, top], [0.0, 0.0, 1.0]])
        size = self.source_size
        for _ in range(self.turns):
            to_file = np.array([[0.0, -1.0, size[1]], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]) @ to_file
            size = size[::-1]
        return to_file

    def in_file(self, points: np.ndarray) -> np.ndarray:
        """Points (N, 2) of the crop, in pixels of the file after EXIF rotation."""
        to_file = self.file_from_crop
        return points @ to_file[:2, :2].T + to_file[:2, 2]


@dataclass(frozen=True)
class PhotoVerdict:
    """What happened to one given photo; ``reason`` is a sentence for the user, empty if nothing is wrong."""

    name: str
    used: bool
    reason: str
    quality: PhotoQuality | None = None


@dataclass(frozen=True)
class PhotoCollection:
    """The faces to fit (best first) and a verdict on every given photo (in the given order)."""

    faces: tuple[PhotoFace, ...]
    verdicts: tuple[PhotoVerdict, ...] = field(default=())


def class_mask(labels: np.ndarray, classes: Iterable[FaceClass]) -> np.ndarray:
    """(H, W) uint8, 255 where ``labels`` (H, W) uint8 is one of ``classes``, else 0."""
    import cv2  # imported here, so that the server, which only names classes, starts without it

    table = np.zeros(256, np.uint8)
    table[[int(one) for one in classes]] = 255
    return cv2.LUT(labels, table)
