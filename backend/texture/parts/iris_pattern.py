"""Extract the irises' pattern from photos: darker and lighter places by angle and radius."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from backend.geometry.smoothstep import smoothstep
from backend.photos.collection import FaceClass, PhotoFace
from backend.rendering.color import LUMINANCE, linear_from_srgb
from backend.texture.unwrapping.photo_selection import TexturePhoto

ANGLES, RADII = 96, 24
"""Samples of a pattern around the iris and from its middle to its rim; a quarter of a millimetre along the radius."""
IRIS_ROWS = (473, 468)
"""Landmarks of the iris centres, left and right; the next four of each lie on its rim."""
_BLURRED, _SHARP = 14.0, 30.0
"""Iris radii in px: up to the first a photo shows only lid, lashes and light, not the pattern; from the second on it
resolves a third of a millimetre."""
_CONTRAST_LIMIT = 0.6  # log units: limit of the pattern's contrast; more is a reflection or a lash
_SHADED_FROM = 0.25  # height above the middle, in radii, from which lid and lashes shade the iris
_GLINT = 0.8  # log units above the iris's median that mark a lamp's reflection


@dataclass(frozen=True)
class IrisPattern:
    """Pattern of one iris, measured from photos.

    Attributes
    ----------
    tone : (RADII, ANGLES, 3) float32 log colour relative to the iris's own, row 0 in the middle; angles counter-
        clockwise from the right as seen by a viewer.
    seen : (RADII, ANGLES) float32 confidence in [0, 1]; 0 where no photo is sharp enough.
    """

    tone: np.ndarray
    seen: np.ndarray

    def at(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(N, 3) tone and (N,) confidence at points of the iris, in units of its radius, y up."""
        angle = np.arctan2(y, x) / (2 * np.pi) * ANGLES - 0.5
        rows = np.clip(np.hypot(x, y) * RADII - 0.5, 0, RADII - 1)
        fields = np.concatenate([self.tone, self.seen[..., None]], -1)
        fields = np.concatenate([fields[:, -2:], fields, fields[:, :2]], 1)  # angles are periodic
        where = np.stack([rows, np.mod(angle, ANGLES) + 2.0])
        found = np.stack([map_coordinates(fields[..., k], where, order=1, mode="nearest") for k in range(4)], -1)
        return found[:, :3], found[:, 3]


NO_PATTERN = IrisPattern(np.zeros((RADII, ANGLES, 3), np.float32), np.zeros((RADII, ANGLES), np.float32))


def iris_patterns(photos: Sequence[TexturePhoto]) -> tuple[IrisPattern, IrisPattern]:
    """Patterns of the left and the right iris from the colour photos; ``NO_PATTERN`` where no iris is large enough."""
    found = []
    for row in IRIS_ROWS:
        tone, weight = np.zeros((RADII, ANGLES, 3)), np.zeros((RADII, ANGLES))
        for photo in photos:
            if photo.samples.colourless:
                continue
            own = one_pattern(photo.face, row)
            if own is not None:
                share = own.seen * photo.samples.trust
                tone += share[..., None] * own.tone
                weight += share
        if weight.max() < 1e-3:
            found.append(NO_PATTERN)
            continue
        mean = tone / np.maximum(weight, 1e-3)[..., None]
        seen = np.clip(weight / max(0.5 * float(weight.max()), 0.15), 0.0, 1.0)
        found.append(IrisPattern(mean.astype(np.float32), gaussian_filter(seen, 1.0, mode=("nearest", "wrap"))))
    return found[0], found[1]


def one_pattern(face: PhotoFace, row: int) -> IrisPattern | None:
    """Pattern of the iris around landmark ``row`` in one photo; None if too small, outside the image, or hidden."""
    marks = face.landmarks[row : row + 5, :2].astype(np.float64)
    centre = marks[0]
    radius = np.linalg.norm(marks[1:] - centre, axis=1)
    sharp = float(smoothstep(_BLURRED, _SHARP, radius.mean()))
    height, width = face.pixels.shape[:2]
    if sharp <= 0.0 or (centre < radius.max()).any() or (centre > (width - radius.max(), height - radius.max())).any():
        return None
    across, up = radius[[0, 2]].mean(), radius[[1, 3]].mean()
    if abs(marks[1] - centre)[1] > abs(marks[1] - centre)[0]:  # the rim's landmarks may begin at the top
        across, up = up, across
    angle = (np.arange(ANGLES) + 0.5) / ANGLES * 2 * np.pi
    share = (np.arange(RADII) + 0.5) / RADII
    x, y = share[:, None] * np.cos(angle), share[:, None] * np.sin(angle)
    columns = (centre[0] + across * x - 0.5).astype(np.float32)
    rows = (centre[1] - up * y - 0.5).astype(np.float32)
    linear = cv2.remap(linear_from_srgb(face.pixels), columns, rows, cv2.INTER_LINEAR)
    labels = cv2.remap((face.labels == FaceClass.EYES).astype(np.float32), columns, rows, cv2.INTER_LINEAR)
    log = np.log(np.maximum(linear, 2e-3))
    ring = (labels > 0.9) & (share[:, None] > 0.45) & (share[:, None] < 0.9) & (y < _SHADED_FROM)
    if ring.sum() < 0.2 * ANGLES * RADII * 0.45:
        return None
    middle = np.median(log[ring], axis=0)
    light = np.log(np.maximum(linear @ np.array(LUMINANCE), 2e-3))
    glint = (light > np.log(np.exp(middle) @ np.array(LUMINANCE)) + _GLINT).astype(np.float32)
    glint = cv2.dilate(np.concatenate([glint[:, -4:], glint, glint[:, :4]], 1), np.ones((5, 5)))[:, 4:-4]
    clear = (labels > 0.9) * (1.0 - glint) * smoothstep(_SHADED_FROM + 0.35, _SHADED_FROM - 0.1, y)
    inside = smoothstep(0.30, 0.42, share) * smoothstep(0.97, 0.88, share)  # pupil and rim are painted
    tone = np.clip(log - middle, -_CONTRAST_LIMIT, _CONTRAST_LIMIT)
    seen = (sharp * clear * inside[:, None]).astype(np.float32)
    slope = (seen * y * tone.mean(-1)).sum() / max((seen * y * y).sum(), 1e-6)
    tone = tone - (slope * y)[..., None]  # removes the gradient of light from above
    return IrisPattern(tone.astype(np.float32), seen)
