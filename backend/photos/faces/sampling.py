"""Square, optionally rotated image windows: antialiased resampling, and mapping back to image pixels."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Window:
    """A square of an image: its centre and side in image pixels, and its rotation.

    ``angle`` in radians: the direction (cos, sin) in the image (x right, y down) that becomes the window's x axis.
    ``flipped`` mirrors the window left-right after turning.
    """

    centre: tuple[float, float]
    side: float
    angle: float = 0.0
    flipped: bool = False

    def cut(self, pixels: np.ndarray, resolution: int) -> np.ndarray:
        """Resample the window to (resolution, resolution, C); outside the image its edge is repeated."""
        factor = resolution / self.side
        if factor < 0.5:  # area filter first, so that the bilinear warp below does not alias
            pixels, origin, shrink = self._shrunk_part(pixels, factor)
        else:
            origin, shrink = np.zeros(2), np.ones(2)
        # picture_px = centre + R (window_px - resolution / 2) / factor; pixel centres are i in cv2, i + 0.5 here
        forward = self._linear() / factor
        offset = np.asarray(self.centre) - forward @ np.full(2, resolution / 2)
        forward, offset = shrink[:, None] * forward, shrink * (offset - origin)
        matrix = np.concatenate([forward, (offset + forward @ [0.5, 0.5] - 0.5)[:, None]], axis=1)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(pixels, matrix, (resolution, resolution), flags=flags, borderMode=cv2.BORDER_REPLICATE)

    def to_picture(self, points: np.ndarray, resolution: int) -> np.ndarray:
        """Map points (..., 2 or 3) from pixels of the cut window to image pixels; z is scaled alike."""
        scale = self.side / resolution
        result = np.asarray(points, dtype=np.float64) * scale
        result[..., :2] = (result[..., :2] - self.side / 2) @ self._linear().T + self.centre
        return result

    def from_picture(self, points: np.ndarray, resolution: float) -> np.ndarray:
        """The inverse of ``to_picture`` for points (..., 2)."""
        turned = (np.asarray(points, dtype=np.float64) - self.centre) @ self._linear()
        return (turned + self.side / 2) * (resolution / self.side)

    def _linear(self) -> np.ndarray:
        """(2, 2) rotation (and flip) from window to image directions."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        sign = -1.0 if self.flipped else 1.0
        return np.array([[sign * cos, -sin], [sign * sin, cos]])

    def _shrunk_part(self, pixels: np.ndarray, factor: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The window's surroundings, area-averaged; their origin in the image; the scale factors in x and y."""
        height, width = pixels.shape[:2]
        half = self.side * 0.71 + 4
        low = np.clip(np.floor(np.asarray(self.centre) - half), 0, [width - 1, height - 1]).astype(int)
        high = np.clip(np.ceil(np.asarray(self.centre) + half), low + 1, [width, height]).astype(int)
        part = pixels[low[1] : high[1], low[0] : high[0]]
        size = np.maximum(np.round((high - low) * factor).astype(int), 1)
        small = cv2.resize(part, (int(size[0]), int(size[1])), interpolation=cv2.INTER_AREA)
        return small, low.astype(np.float64), size / (high - low)


def fit_inside(pixels: np.ndarray, longest: int) -> tuple[np.ndarray, float]:
    """The image area-averaged to at most ``longest`` pixels a side, and the scale factor (at most 1)."""
    height, width = pixels.shape[:2]
    factor = min(1.0, longest / max(height, width))
    if factor == 1.0:
        return pixels, 1.0
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), factor
