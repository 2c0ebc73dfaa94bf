"""The eyes' own map ``Eye``: where a point of an eyeball lies in the picture of both eyes.

The picture is twice as wide as high; the person's right eye is its left half, as one sees it. In the middle of a half
the map is a view along the eye's axis, so that an iris stays round; farther out it is squeezed, down to what an eye
shows when it looks aside as far as it can.
"""

from __future__ import annotations

import numpy as np

from backend.rig.eye_surfaces import IRIS_RADIUS

IRIS_SHARE = 0.26
"""Radius of the iris (11.7 mm across) of a half's width: with ``EYE_SIDE`` it is 532 px across."""
_FRONT = 0.007
"""Metres from the axis up to where the map is a view from the front; the iris ends at 5.9 mm."""
_WIDEST = np.radians(105.0)
"""From the axis to the picture's edge: eyes turn by 40 degrees, and lids show 60 beside the axis."""


def eye_uv(offsets: np.ndarray, radius: float, left: bool) -> np.ndarray:
    """(N, 2) float32 map ``Eye``, v up, of points (N, 3) metres from the centre of an eye that looks along z."""
    theta = np.arctan2(np.hypot(offsets[:, 0], offsets[:, 1]), offsets[:, 2])
    across = np.maximum(np.hypot(offsets[:, 0], offsets[:, 1]), 1e-9)
    distance = _from_axis(theta, radius)
    place = 0.5 + distance[:, None] * offsets[:, :2] / across[:, None]
    return np.stack([0.5 * (place[:, 0] + left), place[:, 1]], 1).astype(np.float32)


def eye_points(side: int, radius: float) -> np.ndarray:
    """(side * side, 3) float32 metres from the eye's centre: the eyeball at one half's texels, row 0 the top."""
    ticks = (np.arange(side) + 0.5) / side - 0.5
    x, y = (grid.ravel() for grid in np.meshgrid(ticks, -ticks))
    distance = np.hypot(x, y)
    edge, slope = _corner(radius)
    start = _from_axis(edge, radius)
    inner = np.arcsin(np.clip(distance * IRIS_RADIUS / IRIS_SHARE / radius, 0.0, 1.0))
    theta = np.where(distance < start, inner, edge + (distance - start) / slope)
    theta = np.minimum(theta, np.pi)
    across = np.maximum(distance, 1e-9)
    sine = np.sin(theta)
    return (radius * np.stack([sine * x / across, sine * y / across, np.cos(theta)], 1)).astype(np.float32)


def _from_axis(theta: np.ndarray | float, radius: float) -> np.ndarray:
    """Distance from a half's middle, of its width, at an angle from the axis (radians)."""
    edge, slope = _corner(radius)
    start = IRIS_SHARE * _FRONT / IRIS_RADIUS
    front = IRIS_SHARE * radius * np.sin(np.minimum(theta, edge)) / IRIS_RADIUS
    return np.where(theta < edge, front, np.minimum(start + slope * (theta - edge), 0.5))


def _corner(radius: float) -> tuple[float, float]:
    """The angle (radians) at which the map stops being a view from the front, and its slope from there on."""
    edge = float(np.arcsin(_FRONT / radius))
    return edge, (0.5 - IRIS_SHARE * _FRONT / IRIS_RADIUS) / (_WIDEST - edge)
