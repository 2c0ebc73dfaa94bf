"""Network input from one photo: skin detail in UV, and how its shading responds to slope."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from backend.detail.window import DetailWindow, SurfaceFrames
from backend.rendering import spherical_harmonics as sh
from backend.rendering.color import LUMINANCE

CHANNELS = 7
BASE_LENGTH = 0.008
"""Metres: broader differences in brightness are form and colour of the face, not relief."""
_MIN_WEIGHT = 1e-3
"""Weight below which the base is undefined."""
_DETAIL_LIMIT = 1.0
"""Log units: detail beyond this is a hair, a mole or a highlight, not a wrinkle."""
_SHADING_FLOOR = 0.2
"""Share of the mean shading: darker places are in shadow, where three SH bands are unreliable."""
_SHARPNESS_UNIT = 2000.0
"""Pixels per metre, unit of the sharpness channel: a face of 280 pixels."""


@dataclass(frozen=True)
class PhotoInWindow:
    """One photo sampled at the window's texels.

    Attributes
    ----------
    log_linear : (N, N, 3) logarithm of linear light. weight : (N, N) in [0, 1], visibility of bare skin.
    normals : (N, N, 3) unit normals of the posed, smooth face, head frame. across : (N, N, 2, 3) of ``SurfaceFrames``,
    posed. light : (9, 3) coefficients of the shading. pixels_per_metre : of the photo, at the face.
    """

    log_linear: np.ndarray
    weight: np.ndarray
    normals: np.ndarray
    across: np.ndarray
    light: np.ndarray
    pixels_per_metre: float


def frames_in_window(window: DetailWindow, frames: SurfaceFrames) -> tuple[np.ndarray, np.ndarray]:
    """Unit normals (N, N, 3) and ``across`` (N, N, 2, 3) at the window's texels."""
    flat = np.concatenate([frames.normals, frames.across.reshape(-1, 6)], 1)
    image = window.image(flat)
    normals = image[..., :3] / np.maximum(np.linalg.norm(image[..., :3], axis=-1, keepdims=True), 1e-6)
    return normals, image[..., 3:].reshape(*image.shape[:2], 2, 3)


def observe(photo: PhotoInWindow, texels_per_metre: float) -> np.ndarray:
    """(7, N, N) float32 input channels: detail of the log luminance, divided by the smooth face's shading, and of the
    red-green and yellow-blue differences; change of the log shading per millimetre of height per texel (right, down);
    weight; the photo's sharpness.

    A height h changes the normal by minus its surface gradient, and the log shading by ``-(b . grad h)``, with
    b = across @ grad_n S / S. The two slope channels are b's components.
    """
    weight = photo.weight.astype(np.float32)
    shading, relative = shading_and_gradient(photo.normals, photo.light)
    detail = _without_base(photo, shading, texels_per_metre)
    luminance = detail @ np.array(LUMINANCE, np.float32)
    red, yellow = detail[..., 0] - detail[..., 1], 0.5 * (detail[..., 0] + detail[..., 1]) - detail[..., 2]
    slope = np.einsum("yxic,yxc->yxi", photo.across, relative) * (1e-3 * len(weight))
    channels = [
        np.clip(luminance, -_DETAIL_LIMIT, _DETAIL_LIMIT) * weight,
        np.clip(red, -_DETAIL_LIMIT, _DETAIL_LIMIT) * weight,
        np.clip(yellow, -_DETAIL_LIMIT, _DETAIL_LIMIT) * weight,
        np.clip(slope[..., 0], -4.0, 4.0) * weight,
        np.clip(slope[..., 1], -4.0, 4.0) * weight,
        weight,
        np.full_like(weight, np.clip(np.log2(photo.pixels_per_metre / _SHARPNESS_UNIT), -2.0, 2.0)),
    ]
    return np.stack(channels).astype(np.float32)


def colour_detail(photo: PhotoInWindow, texels_per_metre: float) -> np.ndarray:
    """(N, N, 3) log residual of a photo's linear light after the smooth face's shading and all colours broader than
    ``BASE_LENGTH``. Zero where no bare skin is visible."""
    return _without_base(photo, shading_and_gradient(photo.normals, photo.light)[0], texels_per_metre)


def _without_base(photo: PhotoInWindow, shading: np.ndarray, texels_per_metre: float) -> np.ndarray:
    weight = photo.weight.astype(np.float32)
    delit = photo.log_linear - np.log(shading)[..., None]
    sigma = BASE_LENGTH * texels_per_metre
    blurred = cv2.GaussianBlur(weight, (0, 0), sigma)
    base = cv2.GaussianBlur(delit * weight[..., None], (0, 0), sigma)
    base /= np.maximum(blurred, _MIN_WEIGHT)[..., None]
    known = (blurred > _MIN_WEIGHT) & (weight > 0)
    return np.where(known[..., None], delit - base, 0.0)


def shading_and_gradient(normals: np.ndarray, light: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Luminance of the shading (N, N), clamped above a fifth of its mean, and its gradient with respect to the normal
    divided by it (N, N, 3); normals (N, N, 3) unit, zero outside the skin; light (9, 3)."""
    constant, linear, quadratic = _polynomial(light @ np.array(LUMINANCE))
    flat = normals.reshape(-1, 3).astype(np.float32)
    turned = flat @ (2.0 * quadratic).astype(np.float32)
    shading = constant + flat @ linear.astype(np.float32) + 0.5 * (turned * flat).sum(1)
    gradient = turned + linear.astype(np.float32)
    shown = np.abs(flat).sum(1) > 0
    floor = _SHADING_FLOOR * max(float(shading[shown].mean()) if shown.any() else 1.0, 1e-6)
    shading = np.maximum(shading, floor)
    relative = gradient / shading[:, None]
    return shading.reshape(normals.shape[:2]), relative.reshape(normals.shape)


def _polynomial(light: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Shading from nine coefficients (9,) as c + b.n + n'Qn of the normal: c, b (3,), Q (3, 3) symmetric."""
    c0, c1, c2, c3, c4 = sh.BASIS_CONSTANTS
    xy, yz, zz, xz, xx = c2 * light[4], c2 * light[5], c3 * light[6], c2 * light[7], c4 * light[8]
    quadratic = np.array([[xx, xy / 2, xz / 2], [xy / 2, -xx, yz / 2], [xz / 2, yz / 2, 3 * zz]])
    return float(c0 * light[0] - zz), c1 * np.array([light[3], light[1], light[2]]), quadratic
