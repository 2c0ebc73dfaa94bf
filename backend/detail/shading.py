"""Shading of the skin's relief as a factor on the albedo, for renderers without bump mapping."""

from __future__ import annotations

import cv2
import numpy as np

from backend.detail.groups import KEY_GROUPS
from backend.detail.observation import frames_in_window
from backend.detail.skin_detail import SkinDetail
from backend.detail.window import ORIGIN, SIDE, DetailWindow, detail_window, place_in_map, surface_frames
from backend.geometry.template import Template
from backend.rendering import spherical_harmonics as sh
from backend.rendering.color import LUMINANCE
from backend.rig.arkit import ARKIT_INDEX

SIZE = 512
_DARKEST, _BRIGHTEST = 0.3, 2.0
"""Limits of the factor: three SH bands can give negative light on a slope."""


def relief_shading(
    detail: SkinDetail,
    template: Template,
    head: np.ndarray,
    light: np.ndarray,
    resolution: int,
    expression: np.ndarray | None = None,
) -> np.ndarray:
    """(R, R) float32 in map ``Head``: shading of the relief over that of the smooth skin, 1 outside the face.

    Parameters
    ----------
    head : (C, 3) posed vertices of the head's cage. light : (9, 3) coefficients of the shading. resolution : R.
    expression : (52,) weights that activate wrinkles.
    """
    window = detail_window(template, SIZE)
    frames = surface_frames(window.surface, window.surface.lifted(head.astype(np.float64)))
    normals, across = frames_in_window(window, frames)
    heights = posed_heights(detail, window, expression) * window.allowed
    down, right = np.gradient(heights * np.float32(1e-3 * SIZE))
    bumped = normals - (right[..., None] * across[..., 0, :] + down[..., None] * across[..., 1, :])
    bumped /= np.maximum(np.linalg.norm(bumped, axis=-1, keepdims=True), 1e-6)
    grey = (light @ np.array(LUMINANCE)).astype(np.float32)
    smooth, rough = sh.basis(normals) @ grey, sh.basis(bumped) @ grey
    floor = 0.1 * float(np.mean(smooth[window.allowed > 0]))
    ratio = np.clip(np.maximum(rough, floor) / np.maximum(smooth, floor), _DARKEST, _BRIGHTEST)
    return 1.0 + place_in_map((ratio - 1.0) * (window.allowed > 0), resolution)


def posed_heights(detail: SkinDetail, window: DetailWindow, expression: np.ndarray | None) -> np.ndarray:
    """(N, N) millimetres at a window's texels under an expression (52,); one-sided keys act on their side only."""
    size = window.size
    heights = _in_window(detail.always.millimetres(), size)
    if expression is None:
        return heights
    left = np.clip(((np.arange(size) + 0.5) / size * SIDE + ORIGIN[0] - 0.5) / 0.06 + 0.5, 0, 1)[None]
    for name, keys in KEY_GROUPS.items():
        sides = [
            max(float(expression[ARKIT_INDEX[key]]) for key in keys if not key.endswith(other))
            for other in ("Right", "Left")
        ]
        if max(sides) > 0:
            weight = left * sides[0] + (1.0 - left) * sides[1]
            heights = heights + weight * _in_window(detail.wrinkles[name].millimetres(), size)
    return heights.astype(np.float32)


def _in_window(image: np.ndarray, size: int) -> np.ndarray:
    """(N, N) crop of a map (R, R) to the window."""
    resolution = len(image)
    left, top, side = (round(value * resolution) for value in (ORIGIN[0], 1.0 - ORIGIN[1] - SIDE, SIDE))
    part = image[top : top + side, left : left + side]
    method = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    return cv2.resize(part, (size, size), interpolation=method)
