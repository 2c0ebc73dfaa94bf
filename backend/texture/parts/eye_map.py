"""UV map ``Eye``: maps points of the eyeballs into the image of both eyes.

The image is twice as wide as high; the person's right eye is its left half, as a viewer sees it. In the middle of each
half the map is an orthographic view along the eye's axis, so that the iris stays round. Farther out it is compressed
and covers all that is visible when the eye turns as far as it can.
"""

from __future__ import annotations

import numpy as np

from backend.rig.eye_surfaces import IRIS_RADIUS

IRIS_SHARE = 0.26
"""Radius of the iris (11.7 mm across) as a share of a half's width: with ``EYE_SIDE`` it is 532 px across."""
_FRONT = 0.007
"""Metres from the axis to which the map is an orthographic frontal view; the iris ends at 5.9 mm."""
_WIDEST = np.radians(105.0)
"""Angle from the axis to the image's edge: eyes turn by 40 degrees, and lids show 60 beside the axis."""


def eye_uv(offsets: np.ndarray, radius: float, left: bool) -> np.ndarray:
    """(N, 2) float32 UVs in map ``Eye``, v up, of points (N, 3) metres from the centre of an eye that looks along z."""
    theta = np.arctan2(np.hypot(offsets[:, 0], offsets[:, 1]), offsets[:, 2])
    across = np.maximum(np.hypot(offsets[:, 0], offsets[:, 1]), 1e-9)
    distance = _from_axis(theta, radius)
    place = 0.5 + distance[:, None] * offsets[:, :2] / across[:, None]
    return np.stack([0.5 * (place[:, 0] + left), place[:, 1]], 1).astype(np.float32)


def eye_points(side: int, radius: float) -> np.ndarray:
    """(side * side, 3) float32 points on the eyeball at one half's texels, metres from its centre; row 0 is the top."""
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
    """Distance from a half's middle, as a share of its width, at an angle from the axis (radians)."""
    edge, slope = _corner(radius)
    start = IRIS_SHARE * _FRONT / IRIS_RADIUS
    front = IRIS_SHARE * radius * np.sin(np.minimum(theta, edge)) / IRIS_RADIUS
    return np.where(theta < edge, front, np.minimum(start + slope * (theta - edge), 0.5))


def _corner(radius: float) -> tuple[float, float]:
    """The angle (radians) where the frontal view ends, and the map's slope beyond it."""
    edge = float(np.arcsin(_FRONT / radius))
    return edge, (0.5 - IRIS_SHARE * _FRONT / IRIS_RADIUS) / (_WIDEST - edge)
