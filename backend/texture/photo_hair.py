"""Hair in one photo: how much, of what colour, and whether it may be a shaved scalp or hidden by a hat."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from backend.photos.collection import FaceClass, PhotoFace
from backend.rendering.color import LUMINANCE, linear_from_srgb
from backend.rendering.spherical_harmonics import shade

SOME_HAIR = 0.04  # hair above the eyes over skin, in pixels: less is a shadow beside a bald head
_WORK_SIDE = 256
_BROWS = (105, 334)  # landmarks at the middle of the brows
_UP = np.array([0.0, 0.7, 0.714])
_FEWEST = 30  # pixels


@dataclass(frozen=True)
class PhotoHair:
    """Hair in one photo.

    Attributes
    ----------
    amount : relative to the face's skin. log_color : (3,) of its linear albedo, or None.
    hidden : a hat or a band covers more than shows, so that the amount says nothing.
    scalp : what tells a shaved scalp from hair, or None where it is not seen.
    """

    amount: float
    log_color: np.ndarray | None
    hidden: bool = False
    scalp: ScalpLook | None = None


@dataclass(frozen=True)
class ScalpLook:
    """What is called hair in one photo: ``brighter`` (log units) than the forehead's skin, its ``contrast`` from pixel
    to pixel (log units), and by how much the ``brows`` are darker than that skin (log units)."""

    brighter: float
    contrast: float
    brows: float


def photo_hair(face: PhotoFace, light: np.ndarray) -> PhotoHair:
    """Amount and colour of the hair above the brows in one photo under a light (9, 3); where headgear hides that, the
    colour of the hair below as well."""
    factor = min(1.0, _WORK_SIDE / max(face.pixels.shape[:2]))
    size = tuple(max(1, round(side * factor)) for side in face.pixels.shape[1::-1])
    labels = cv2.resize(face.labels, size, interpolation=cv2.INTER_NEAREST)
    pixels = cv2.resize(face.pixels, size, interpolation=cv2.INTER_AREA)
    skin = float((labels == FaceClass.SKIN).sum())
    right, left = (face.landmarks[row, :2] * factor for row in _BROWS)
    across = (left - right) / max(float(np.linalg.norm(left - right)), 1e-6)
    ys, xs = np.mgrid[0 : size[1], 0 : size[0]] + 0.5
    above = (xs - right[0]) * across[1] - (ys - right[1]) * across[0] > 0
    hair = (labels == FaceClass.HAIR) & above
    amount = float(hair.sum()) / max(skin, 1.0)
    covered = float(((labels == FaceClass.OCCLUDER) & above).sum()) / max(skin, 1.0)
    hidden = covered > max(SOME_HAIR, amount)
    telling = labels == FaceClass.HAIR if hidden else hair
    inner = cv2.erode(telling.astype(np.uint8), np.ones((5, 5), np.uint8), borderValue=0) > 0
    if inner.sum() < 40:
        return PhotoHair(amount, None, hidden)
    lit = np.maximum(shade(_UP[None], light)[0], 0.05)
    linear = np.maximum(linear_from_srgb(pixels[inner]), 2e-3)
    luminance = linear @ np.array(LUMINANCE)
    low, high = np.percentile(luminance, (25, 75))  # without what shines, and what is deep between strands
    log_color = np.log(linear[(luminance >= low) & (luminance <= high)]).mean(0) - np.log(lit)
    if face.monochrome:
        log_color = np.full(3, log_color @ np.array(LUMINANCE))
    return PhotoHair(amount, log_color, hidden, _scalp_look(pixels, labels, inner, above))


def _scalp_look(pixels: np.ndarray, labels: np.ndarray, hair: np.ndarray, above: np.ndarray) -> ScalpLook | None:
    """Of a photo (H, W, 3) uint8 sRGB with its labels, where hair (H, W) is and what is above the brows (H, W)."""
    skin, brows = (
        cv2.erode(where.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        for where in ((labels == FaceClass.SKIN) & above, labels == FaceClass.BROWS)
    )
    if min(skin.sum(), brows.sum()) < _FEWEST:
        return None

    def brightness(where: np.ndarray) -> np.ndarray:
        return np.log(np.maximum(linear_from_srgb(pixels[where]), 1e-3)).mean(-1)

    fine = np.log(pixels.astype(np.float32).mean(-1) + 4.0)
    fine -= cv2.GaussianBlur(fine, (0, 0), 1.5)
    typical = float(np.median(brightness(skin)))
    return ScalpLook(
        brighter=float(np.quantile(brightness(hair), 0.45)) - typical,
        contrast=float(fine[hair].std()),
        brows=typical - float(np.quantile(brightness(brows), 0.25)),
    )
