"""Deformation transfer: carry offsets from one mesh to another of the same topology.

Sumner and Popović, "Deformation transfer for triangle meshes" (2004), in the Poisson form of Botsch, Sumner, Pauly
and Gross, "Deformation transfer for detail-preserving surface editing" (2006). The target's edges deform like the
source's triangles:

    min_d  sum_t sum_(i,j) w_tij | (d_i - d_j) - (S_t - I)(x_i - x_j) |^2  +  lambda sum_i a_i | d_i - s_i |^2 ,

with S_t the source triangle's deformation gradient (the third axis of its frame is the normal, scaled as in eq. 2 of
the 2004 paper), x the target's neutral, d the offsets to find and s the source's offsets. All keys share one sparse
factorisation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sparse
from scipy.sparse.linalg import splu

from backend.geometry.smoothstep import smoothstep

_EDGES = ((0, 1), (1, 2), (2, 0))
_REGULARISATION = 1e-3
"""lambda: regularisation towards the source's own offsets, relative to a vertex's edge weights (fixes translation)."""
_REST_REGULARISATION = 1e3
"""The same for vertices that no key moves."""
_BLEND_METRES = 5e-4
"""Metres of source motion below which the source's offset is blended in, so that vertices at rest stay at rest."""
_LEAST_COTANGENT, _MOST_COTANGENT = 0.05, 10.0


def triangles_of(quads: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Two triangles (T, 3) per quad (F, 4), without degenerate ones."""
    both = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    corners = vertices[both].astype(np.float64)
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    return both[area > 1e-10]


def triangle_frames(corners: np.ndarray) -> np.ndarray:
    """Frames (..., 3, 3) of triangles (..., 3, 3): columns are two edges and n / sqrt|n| (eq. 2 of the paper)."""
    first = corners[..., 1, :] - corners[..., 0, :]
    second = corners[..., 2, :] - corners[..., 0, :]
    normal = np.cross(first, second)
    length = np.linalg.norm(normal, axis=-1, keepdims=True)
    return np.stack([first, second, normal / np.sqrt(np.maximum(length, 1e-14))], axis=-1)


@dataclass(frozen=True)
class SourceDeformations:
    """Deformation gradients of many keys on one source mesh.

    Attributes
    ----------
    vertex_count : V.
    triangles : (T, 3).
    key, triangle : (A,) which key and triangle each gradient belongs to; triangles at rest are left out.
    gradients : (A, 3, 3) S - I.
    offsets : (K, V, 3) the source's own offsets.
    """

    vertex_count: int
    triangles: np.ndarray
    key: np.ndarray
    triangle: np.ndarray
    gradients: np.ndarray
    offsets: np.ndarray


def source_deformations(vertices: np.ndarray, quads: np.ndarray, offsets: np.ndarray) -> SourceDeformations:
    """Prepare the keys ``offsets`` (K, V, 3) of a source mesh ``vertices`` (V, 3), ``quads`` (F, 4) for transfer."""
    triangles = triangles_of(quads, vertices)
    neutral = np.linalg.inv(triangle_frames(vertices[triangles].astype(np.float64)))  # (T, 3, 3)
    keys, places, gradients = [], [], []
    for k, offset in enumerate(offsets):
        moving = np.flatnonzero(np.abs(offset[triangles]).max((1, 2)) > 0)
        corners = (vertices[triangles[moving]].astype(np.float64)) + offset[triangles[moving]]
        gradients.append(triangle_frames(corners) @ neutral[moving] - np.eye(3))
        keys.append(np.full(len(moving), k))
        places.append(moving)
    return SourceDeformations(
        len(vertices), triangles, np.concatenate(keys), np.concatenate(places),
        np.concatenate(gradients).astype(np.float32), np.asarray(offsets, dtype=np.float32),
    )  # fmt: skip


def transfer(source: SourceDeformations, target: np.ndarray) -> np.ndarray:
    """Transfer the source's keys to the mesh ``target`` (V, 3): offsets (K, V, 3) float32.

    Transfer onto the source itself returns the source's offsets.
    """
    count, keys = source.vertex_count, len(source.offsets)
    corners = target[source.triangles].astype(np.float64)  # (T, 3, 3)
    cotangents = _cotangents(corners)  # (T, 3) of the edges 01, 12, 20
    tails = source.triangles[:, [a for a, _ in _EDGES]].ravel()
    heads = source.triangles[:, [b for _, b in _EDGES]].ravel()
    weights = cotangents.ravel()
    laplacian = sparse.coo_matrix(
        (
            np.concatenate([weights, weights, -weights, -weights]),
            (np.concatenate([tails, heads, tails, heads]), np.concatenate([tails, heads, heads, tails])),
        ),
        (count, count),
    ).tocsc()
    still = np.abs(source.offsets).max((0, 2)) == 0
    pull = np.where(still, _REST_REGULARISATION, _REGULARISATION) * np.maximum(laplacian.diagonal(), 1e-6)
    solver = splu(
        laplacian + sparse.diags(pull, format="csc"), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}
    )

    spans = np.stack([corners[:, a] - corners[:, b] for a, b in _EDGES], axis=1) * cotangents[:, :, None]  # (T, 3, 3)
    wanted = np.einsum("aij,aej->aei", source.gradients, spans[source.triangle].astype(np.float32))  # (A, 3 edges, 3)
    right = (pull[:, None, None] * source.offsets.transpose(1, 0, 2)).reshape(count, keys * 3)  # (V, 3K)
    bounds = np.searchsorted(source.key, np.arange(keys + 1))
    for k in range(keys):
        rows = slice(bounds[k], bounds[k + 1])
        triangles = source.triangles[source.triangle[rows]]
        flow = wanted[rows].astype(np.float64)
        for axis in range(3):
            for e, (a, b) in enumerate(_EDGES):
                right[:, 3 * k + axis] += np.bincount(triangles[:, a], flow[:, e, axis], count)
                right[:, 3 * k + axis] -= np.bincount(triangles[:, b], flow[:, e, axis], count)
    solved = solver.solve(right).reshape(count, keys, 3).transpose(1, 0, 2)
    share = smoothstep(0.0, _BLEND_METRES, np.linalg.norm(source.offsets, axis=2, keepdims=True))
    return (share * solved + (1.0 - share) * source.offsets).astype(np.float32)


def _cotangents(corners: np.ndarray) -> np.ndarray:
    """Half cotangents (T, 3) of the angles opposite the edges 01, 12 and 20, bounded against slivers."""
    values = []
    for a, b in _EDGES:
        opposite = corners[:, 3 - a - b]
        u, v = corners[:, a] - opposite, corners[:, b] - opposite
        values.append((u * v).sum(1) / np.maximum(np.linalg.norm(np.cross(u, v), axis=1), 1e-12))
    return 0.5 * np.clip(np.stack(values, axis=1), _LEAST_COTANGENT, _MOST_COTANGENT)
