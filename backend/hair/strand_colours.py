"""The colour of guides at root and tip, from the photographs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.spatial import cKDTree

from backend.fitting.fitted_face import FittedFace, FittedPhoto
from backend.photos.collection import FaceClass, PhotoFace
from backend.rendering import spherical_harmonics as sh
from backend.rendering.color import LUMINANCE, linear_from_srgb

_SIDE = 320
"""Pixels of a picture's longer side: colours of locks, not of single hairs."""
_DARKEST = 0.002
"""Linear light in [0, 1] of a photo's noise: half a step of 8 bits near black is 0.0002, a JPEG's blocks are ten times
that."""
_LEAST_SHADING = 0.15
"""Of the mean over the hair: darker shading is a guess, and what is divided by it too bright."""
_FRONT = 0.006
"""Metres behind the foremost hair that still show: half a lock."""
_UNKNOWN = np.log(np.array([0.045, 0.028, 0.018]))
"""Linear albedo of brown hair, the commonest colour, where no photo shows any."""
_RANGE = 0.7
"""Log units by which a lock may differ from the hair as a whole: twofold, as tips do from dark roots; what differs
more is shadow or highlight."""
_FEW = 2.0
"""Samples (points of guides that a photo shows) that count as much as the colour of the hair as a whole."""
_GREENEST = 0.5
"""Least logarithm of red over green, of that of green over blue: roots of black and brown pigment's absorption of red,
green and blue are 0.65, 0.83, 1.17 (d'Eon and others, An Energy-Conserving Hair Reflectance Model, 2011)."""
_DYED = 0.4
"""Log units: light's hue is not off by more."""
_HUE_DEVIATION = 0.25
"""Log units: how far the light's hue is off in one photo, measured against the other photos of the same hair."""
_TOGETHER = 8
"""Neighbouring guides that share their colour: two centimetres, about as far as a photo's chroma is sharp."""


@dataclass(frozen=True)
class StrandColours:
    """``root``, ``tip`` : (G, 3) float32 linear albedo."""

    root: np.ndarray
    tip: np.ndarray


def strand_colours(guides: np.ndarray, fitted: FittedFace, faces: Sequence[PhotoFace]) -> StrandColours:
    """Colours of guides (G, P, 3), metres, where photos show them before all other hair; smooth from lock to lock.

    Locks differ in brightness, and roots from tips in hue, too. What hue a lock has beside others is that of the lamps
    on its side, of a wall beside it or of a JPEG's blocks.
    """
    by_name = {face.name: face for face in faces}
    seen = [_seen(guides, photo, by_name[photo.name]) for photo in fitted.photos]
    logs, shown = np.stack([log for log, _ in seen]), np.stack([mask for _, mask in seen])  # (V, G, P, 3), (V, G, P)
    if not shown.any():
        whole, logs = _UNKNOWN, np.zeros_like(logs)
    else:
        whole = colour_of_views(
            np.array([np.median(log[mask], 0) for log, mask in zip(logs, shown, strict=True) if mask.any()])
        )
        for log, mask in zip(logs, shown, strict=True):
            log -= np.median(log[mask], 0) if mask.any() else 0.0
    near = cKDTree(guides[:, 0]).query(guides[:, 0], k=min(_TOGETHER, len(guides)))[1].reshape(len(guides), -1)
    half = guides.shape[1] // 2
    ends = []
    for part in (slice(0, half), slice(half, None)):
        mask = shown[:, :, part]
        total = np.where(mask[..., None], logs[:, :, part], 0.0).sum((0, 2))
        number = mask.sum((0, 2)).astype(float)
        hue = (total - total[:, 1:2]).sum(0) / (number.sum() + _FEW)  # of roots or tips: locks differ by lamps alone
        total, number = total[near, 1].sum(1), number[near].sum(1)
        logs_here = whole + hue + np.clip(total / (number + _FEW), -_RANGE, _RANGE)[:, None]
        ends.append(np.exp(natural(logs_here)).astype(np.float32))
    return StrandColours(*ends)


def colour_of_views(logs: np.ndarray) -> np.ndarray:
    """(3,) log linear albedo of hair of which V photos say ``logs`` (V, 3).

    As bright as half of them say. A photo in whose light the hair would have a hue that no hair grows with counts less:
    its light's hue is wrong by that, with ``_HUE_DEVIATION``. Where all say so alike the hair is dyed.
    """
    off = np.linalg.norm(natural(logs, np.inf) - logs, axis=1)
    weight = np.exp(-0.5 * (off**2 - off.min() ** 2) / _HUE_DEVIATION**2)
    hue = weight @ (logs - logs[:, 1:2]) / weight.sum()
    return hue + np.median(logs[:, 1])


def natural(logs: np.ndarray, most: float = _DYED) -> np.ndarray:
    """Logarithms (..., 3) of hair's linear albedo without the green or blue that no hair grows with; green stays.

    A photo's light is known by the skin, and its hue is off by some tenths. Pigments of hair take more blue than green
    and more green than red: no hair is greener than ``_GREENEST``. What is farther off than ``most`` moves by that.
    """
    blue, red = logs[..., 1] - logs[..., 2], logs[..., 0] - logs[..., 1]  # what green has more, what red has more
    share = np.maximum(blue + _GREENEST * red, 0) / (1 + _GREENEST**2)  # along the line of _GREENEST
    on_line = np.stack([share, _GREENEST * share], -1)
    not_blue = np.stack([np.zeros_like(blue), np.maximum(red, 0)], -1)
    hue = np.stack([blue, red], -1)
    nearest = np.where((blue < 0)[..., None], not_blue, np.where((red < _GREENEST * blue)[..., None], on_line, hue))
    move = nearest - hue
    length = np.linalg.norm(move, axis=-1, keepdims=True)
    move = move * np.minimum(1, most / np.maximum(length, 1e-9))
    return logs + np.stack([move[..., 1], np.zeros_like(move[..., 0]), -move[..., 0]], -1)


def _seen(guides: np.ndarray, photo: FittedPhoto, face: PhotoFace) -> tuple[np.ndarray, np.ndarray]:
    """(G, P, 3) log albedo at the guides' points, and (G, P) where the photo shows it."""
    scale = min(1.0, _SIDE / max(face.labels.shape))
    camera = photo.camera.scaled(scale)
    size = camera.size
    linear = linear_from_srgb(cv2.resize(face.pixels, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255)
    if face.monochrome:
        linear = np.repeat((linear @ np.array(LUMINANCE, np.float32))[..., None], 3, axis=-1)
    hair = (face.labels == FaceClass.HAIR).astype(np.uint8)
    hair = cv2.erode(cv2.resize(hair, size, interpolation=cv2.INTER_NEAREST), np.ones((3, 3), np.uint8)) > 0
    pixel = camera.project(guides.astype(np.float64))
    column, row = np.floor(pixel[..., 0]).astype(int), np.floor(pixel[..., 1]).astype(int)
    inside = (column >= 0) & (column < size[0]) & (row >= 0) & (row < size[1])
    column, row = column.clip(0, size[0] - 1), row.clip(0, size[1] - 1)
    cell = (row // 4) * (size[0] // 4 + 1) + column // 4  # foremost hair, in cells as wide as a lock
    front = np.full((size[1] // 4 + 1) * (size[0] // 4 + 1), np.inf)
    np.minimum.at(front, cell[inside], pixel[..., 2][inside])
    shown = inside & hair[row, column] & (pixel[..., 2] < front[cell] + _FRONT)
    outwards = guides - guides[:, 0].mean(0)
    outwards = outwards / np.maximum(np.linalg.norm(outwards, axis=-1, keepdims=True), 1e-6)
    shading = sh.shade(outwards.astype(np.float32), photo.light)
    usual = float(np.abs(shading[shown]).mean()) if shown.any() else 1.0
    albedo = np.maximum(linear[row, column], _DARKEST) / np.maximum(shading, _LEAST_SHADING * max(usual, 1e-3))
    return np.log(np.maximum(albedo, _DARKEST)), shown
