"""Vertex tangents, so that all programs interpret a normal map in the same way."""

from __future__ import annotations

import numpy as np


def vertex_tangents(positions: np.ndarray, normals: np.ndarray, uv: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(V, 4) float32 in glTF's convention: unit tangent towards increasing u, and the sign w for which
    w * (normal x tangent) points towards increasing v.

    Parameters
    ----------
    positions, normals : (V, 3), unit normals. uv : (V, 2), v up. triangles : (T, 3), vertices split at seams. Where the
        map has no area, the tangent is an arbitrary perpendicular to the normal.
    """
    corners, places = positions[triangles].astype(np.float64), uv[triangles].astype(np.float64)
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    one, two = places[:, 1] - places[:, 0], places[:, 2] - places[:, 0]
    area = one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0]
    sign = np.sign(area)[:, None]  # not divided by area, so that larger faces weigh more
    by_u = (first * two[:, 1:] - second * one[:, 1:]) * sign
    by_v = (second * one[:, :1] - first * two[:, :1]) * sign
    along, up = (_summed(values, triangles, len(positions)) for values in (by_u, by_v))
    normal = normals.astype(np.float64)
    along -= (along * normal).sum(-1, keepdims=True) * normal
    length = np.linalg.norm(along, axis=-1, keepdims=True)
    lost = length[:, 0] < 1e-12 * max(float(length.max(initial=0.0)), 1e-12)
    aside = np.eye(3)[np.abs(normal).argmin(axis=1)]
    along[lost] = np.cross(normal, aside)[lost]
    along /= np.linalg.norm(along, axis=-1, keepdims=True)
    turned = (np.cross(normal, along) * up).sum(-1) < 0
    return np.concatenate([along, np.where(turned, -1.0, 1.0)[:, None]], axis=1).astype(np.float32)


def _summed(values: np.ndarray, triangles: np.ndarray, count: int) -> np.ndarray:
    """(count, 3) sums of values (T, 3) over the corners of triangles."""
    flat = triangles.ravel()
    repeated = np.repeat(values, 3, axis=0)
    return np.stack([np.bincount(flat, repeated[:, axis], count) for axis in range(3)], -1)
