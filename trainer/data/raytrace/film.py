"""Convert traced light to a photograph: subsurface scattering, exposure, noise, blur, JPEG."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numba
import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from backend.rendering.color import srgb_from_linear

SCATTER_METRES = np.array([0.0016, 0.0008, 0.0005])
"""Standard deviation of the subsurface scattering of red, green and blue light in skin."""


@dataclass(frozen=True)
class Film:
    """Camera settings.

    Attributes
    ----------
    exposure : factor on linear light. white_balance : (3,) factor per channel.
    noise : standard deviation of read noise in linear units at exposure 1; shot noise, which grows with the signal,
        is added.
    blur : Gaussian blur in pixels. jpeg_quality : 1-95. contrast : strength 0-1 of an S-shaped tone curve.
    """

    exposure: float = 1.0
    white_balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    noise: float = 0.002
    blur: float = 0.5
    jpeg_quality: int = 90
    contrast: float = 0.0


@numba.njit(cache=True)
def _spread_rows(image, depth, mask, sigma, out):  # pragma: no cover - compiled
    """Gaussian along rows with a width per pixel and channel, weighted by closeness in depth."""
    height, width, _ = image.shape
    for row in range(height):
        for column in range(width):
            if mask[row, column] <= 0:
                continue
            for c in range(3):
                s = sigma[row, column, c]
                reach = min(int(np.ceil(2.5 * s)), 24)
                total, weights = 0.0, 0.0
                for k in range(max(column - reach, 0), min(column + reach + 1, width)):
                    if mask[row, k] <= 0:
                        continue
                    step = (k - column) / s
                    jump = (depth[row, k] - depth[row, column]) / 0.006
                    weight = np.exp(-0.5 * (step * step + jump * jump)) * mask[row, k]
                    total += weight * image[row, k, c]
                    weights += weight
                out[row, column, c] = total / weights


def scatter(
    irradiance: np.ndarray, depth: np.ndarray, coverage: np.ndarray, translucency: np.ndarray, focal_px: float
) -> np.ndarray:
    """Apply subsurface scattering to light (H, W, 3), per channel; this also removes the sampling noise.

    ``irradiance``, ``depth`` and ``translucency`` are means over the covered part of each pixel.
    """
    metres = np.maximum(depth, 1e-3)[..., None] / focal_px
    sigma = np.clip(translucency[..., None] * SCATTER_METRES / metres, 0.6, 10.0).astype(np.float32)  # (H, W, 3)
    image = np.ascontiguousarray(irradiance, dtype=np.float32)
    for _ in range(2):
        rows = np.zeros_like(image)
        _spread_rows(image, depth, coverage, sigma, rows)
        image = np.ascontiguousarray(rows.transpose(1, 0, 2))
        depth, coverage = np.ascontiguousarray(depth.T), np.ascontiguousarray(coverage.T)
        sigma = np.ascontiguousarray(sigma.transpose(1, 0, 2))
    return image


def develop(linear: np.ndarray, film: Film, generator: np.random.Generator) -> np.ndarray:
    """Develop linear light (H, W, 3) to an (H, W, 3) uint8 sRGB picture: exposure, soft highlights, noise, blur."""
    light = linear * film.exposure * np.asarray(film.white_balance)
    if film.blur > 0:
        light = gaussian_filter(light, (film.blur, film.blur, 0))
    shot = np.sqrt(np.maximum(light, 0.0)) * film.noise * 3
    grain = generator.normal(size=light.shape) * (film.noise + shot)
    light = np.maximum(light + grain, 0.0)
    knee = 0.8  # highlights roll off above this
    light = np.where(light > knee, knee + (1 - knee) * (1 - np.exp(-(light - knee) / (1 - knee))), light)
    encoded = srgb_from_linear(light)
    curved = encoded * encoded * (3 - 2 * encoded)
    encoded = encoded + film.contrast * (curved - encoded)
    return np.round(encoded * 255).astype(np.uint8)


def jpeg_bytes(picture: np.ndarray, quality: int) -> bytes:
    """Encode an (H, W, 3) uint8 picture as JPEG without EXIF."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality, subsampling=0 if quality > 85 else 2)
    return buffer.getvalue()
