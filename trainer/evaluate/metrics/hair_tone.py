"""Compare brightness, colour and contrast of rendered hair with a photo's."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from backend.fitting.fitted_face import FittedPhoto
from backend.geometry.template import Template
from backend.hair.draw import draw_hair
from backend.hair.hair_strands import HairStrands
from backend.hair.hair_views import closed_head
from backend.photos.collection import FaceClass, PhotoFace
from backend.rendering.color import LUMINANCE, linear_from_srgb

_SIDE = 224
"""Pixels of the photo's longer side: about two millimetres per pixel on a head, parts of a lock."""
_LEAST_PIXELS = 100
"""Least number of pixels that show hair in both pictures."""
_DARKEST = 0.002
"""Linear light at the level of a photo's noise, lower bound before logarithms."""


@dataclass(frozen=True)
class HairTone:
    """``brightness`` : natural logarithm of the ratio of median luminances, rendered hair to photo. ``contrast`` :
    ratio of
    the standard deviations of log luminance over the hair, rendered to photo. ``redder``, ``bluer`` : difference of the
    medians of log red over green and of log blue over green, rendered minus photo. NaN where too little hair is
    visible.
    """

    brightness: float
    contrast: float
    redder: float
    bluer: float


UNKNOWN_TONE = HairTone(np.nan, np.nan, np.nan, np.nan)


def hair_tone(strands: HairStrands, photo: FittedPhoto, face: PhotoFace, template: Template) -> HairTone:
    """Compare hair, rendered in a photo's camera and light, with the photo where both show hair."""
    camera = photo.camera.scaled(_SIDE / max(face.labels.shape))
    size = camera.size
    small = cv2.resize(face.pixels, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    hair = cv2.resize((face.labels == FaceClass.HAIR).astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    hair = cv2.erode(hair, np.ones((3, 3), np.uint8)) > 0  # the mask's edge is half background
    drawn = draw_hair(strands, camera, *closed_head(photo.vertices, template), photo.light)
    both = hair & (drawn.alpha > 0.9)
    if both.sum() < _LEAST_PIXELS:
        return UNKNOWN_TONE
    photo_light, drawn_light = linear_from_srgb(small[both]), drawn.color[both] / drawn.alpha[both, None]  # (N, 3)
    seen, made = (np.log(np.maximum(light @ np.array(LUMINANCE), _DARKEST)) for light in (photo_light, drawn_light))
    spread = float(seen.std())
    contrast = float(made.std()) / spread if spread > 0 else np.nan
    red, green, blue = np.subtract(
        *(np.median(np.log(np.maximum(light, _DARKEST)), 0) for light in (drawn_light, photo_light))
    )
    return HairTone(float(np.median(made) - np.median(seen)), contrast, float(red - green), float(blue - green))
