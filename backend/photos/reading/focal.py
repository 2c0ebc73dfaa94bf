"""Focal length in pixels from EXIF, if the file is the camera's uncropped frame."""

from __future__ import annotations

import math

from PIL.Image import Exif

from backend.photos.reading.settings import READING

_EXIF_IFD = 0x8769
_FOCAL_LENGTH, _FOCAL_35MM = 0x920A, 0xA405
_PIXEL_WIDTH, _PIXEL_HEIGHT = 0xA002, 0xA003
_PLANE_X_RESOLUTION, _PLANE_UNIT = 0xA20E, 0xA210
_UNIT_MM = {2: 25.4, 3: 10.0, 4: 1.0, 5: 1e-3}
_FRAME_DIAGONAL_MM = math.hypot(36.0, 24.0)
_CAMERA_ASPECTS = (4 / 3, 3 / 2, 16 / 9)


def focal_length_px(exif: Exif, size: tuple[int, int]) -> float | None:
    """Focal length in pixels of an image of ``size`` (width, height; upright), or None.

    None if EXIF has no focal length, if the aspect ratio is not a camera's (4:3, 3:2, 16:9), or if it differs from the
    ratio recorded in EXIF: then the file is cropped and its field of view is unknown. Uses the 35 mm equivalent along
    the diagonal (CIPA DCG-001), otherwise the focal length and the sensor's resolution.
    """
    try:
        return _focal_length_px(exif, size)
    except (TypeError, ValueError, ZeroDivisionError, KeyError, OSError, SyntaxError):
        return None


def _focal_length_px(exif: Exif, size: tuple[int, int]) -> float | None:
    tags = exif.get_ifd(_EXIF_IFD)
    long_side, short_side = max(size), min(size)
    aspect = long_side / short_side
    if not any(abs(aspect / camera - 1) < READING.aspect_tolerance for camera in _CAMERA_ASPECTS):
        return None
    written = (tags.get(_PIXEL_WIDTH), tags.get(_PIXEL_HEIGHT))
    written_long = None
    if written[0] and written[1]:
        written_long = max(int(written[0]), int(written[1]))
        written_aspect = written_long / min(int(written[0]), int(written[1]))
        tolerance = READING.aspect_tolerance
        if abs(aspect / written_aspect - 1) > tolerance or long_side > written_long * (1 + tolerance):
            return None
    focal_35mm = float(tags.get(_FOCAL_35MM) or 0)
    if focal_35mm > 0:
        return _plausible(focal_35mm * math.hypot(*size) / _FRAME_DIAGONAL_MM, long_side)
    focal_mm, resolution = float(tags.get(_FOCAL_LENGTH) or 0), float(tags.get(_PLANE_X_RESOLUTION) or 0)
    if focal_mm > 0 and resolution > 0 and written_long:
        pixels_per_mm = resolution / _UNIT_MM[int(tags.get(_PLANE_UNIT) or 2)]
        return _plausible(focal_mm * pixels_per_mm * long_side / written_long, long_side)
    return None


def _plausible(focal_px: float, long_side: int) -> float | None:
    """``focal_px``, or None outside 12 to 800 mm equivalent, the range of portrait lenses."""
    return focal_px if 0.33 * long_side < focal_px < 22 * long_side and math.isfinite(focal_px) else None
