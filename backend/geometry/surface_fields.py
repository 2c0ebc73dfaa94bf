"""Smooth fields on the head's mesh: low frequencies are solved here, where there are no UV seams."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

from backend.geometry.vectors import area_vectors


@dataclass(frozen=True)
class SurfaceOperators:
    """Finite-element operators of a mesh.

    Attributes
    ----------
    mass : (V,) vertex areas in m², lumped; stiffness : (V, V) sparse positive semi-definite Laplacian, no unit.
    """

    mass: np.ndarray
    stiffness: sparse.csc_matrix


def surface_operators(vertices: np.ndarray, triangles: np.ndarray, least: float = 0.01) -> SurfaceOperators:
    """Operators of a triangle mesh, vertices (V, 3) in metres, triangles (F, 3).

    Cotangent weights (Pinkall and Polthier 1993), clipped to [least, 10] so that smoothing obeys the maximum principle.
    """
    corners = vertices[triangles].astype(np.float64)  # (F, 3, 3)
    count = len(vertices)
    rows, columns, values = [], [], []
    for k in range(3):
        here, one, two = corners[:, k], corners[:, (k + 1) % 3], corners[:, (k + 2) % 3]
        a, b = one - here, two - here
        cotangent = (a * b).sum(1) / np.maximum(np.linalg.norm(np.cross(a, b), axis=1), 1e-12)
        weight = np.clip(0.5 * cotangent, least, 10.0)
        rows.append(triangles[:, (k + 1) % 3])
        columns.append(triangles[:, (k + 2) % 3])
        values.append(weight)
    i, j, w = np.concatenate(rows), np.concatenate(columns), np.concatenate(values)
    off = sparse.coo_matrix((np.r_[w, w], (np.r_[i, j], np.r_[j, i])), (count, count)).tocsc()
    stiffness = sparse.diags(np.asarray(off.sum(1)).ravel()).tocsc() - off
    area = 0.5 * np.linalg.norm(area_vectors(vertices.astype(np.float64), triangles), axis=1)
    mass = np.bincount(triangles.ravel(), np.repeat(area / 3.0, 3), count)
    return SurfaceOperators(np.maximum(mass, 1e-10), stiffness)


def smooth_field(
    operators: SurfaceOperators,
    values: np.ndarray,
    weights: np.ndarray,
    length: float,
    anchor: np.ndarray | None = None,
    anchor_weight: float | np.ndarray = 1e-4,
) -> np.ndarray:
    """Fit a smooth field to weighted samples: a screened Poisson equation on the surface.

    Minimises ``sum_v m_v w_v |b_v - y_v|² + length² b^T K b + sum_v m_v a |b_v - anchor_v|²``.

    Parameters
    ----------
    values : (V, C) samples; weights : (V,) 0 where there is none; length : smoothing length in metres.
    anchor : (V, C) or (C,) value far away from every sample (the weighted mean if None);
        anchor_weight : its weight a, number or (V,).

    Returns
    -------
    (V, C) float64.
    """
    weights = np.asarray(weights, np.float64)
    if anchor is None:
        total = max(float((operators.mass * weights).sum()), 1e-12)
        anchor = (operators.mass * weights) @ values / total
    anchor = np.broadcast_to(anchor, values.shape)
    mass = operators.mass
    matrix = sparse.diags(mass * (weights + anchor_weight)) + length**2 * operators.stiffness
    right = (mass * weights)[:, None] * values + (mass * anchor_weight)[:, None] * anchor
    return solve_symmetric(matrix, right)


def solve_symmetric(matrix: sparse.spmatrix, right: np.ndarray) -> np.ndarray:
    """Solution (N,) or (N, C) of a sparse symmetric positive definite system (N, N); an ordering for such systems takes
    half the time of SuperLU's usual one."""
    return splu(matrix.tocsc(), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}).solve(right)


def compression(rest: np.ndarray, posed: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(V,) how much the surface is shortened from ``rest`` to ``posed``, both (V, 3), in the direction in which it is
    shortened most: minus the smaller principal Green strain, 0 where there is none. Mean over a vertex's triangles (F,
    3) by their area at rest."""

    def metric(points: np.ndarray) -> np.ndarray:
        edges = points[triangles[:, 1:]] - points[triangles[:, :1]]  # (F, 2, 3)
        return edges @ edges.transpose(0, 2, 1)

    before, after = metric(rest.astype(np.float64)), metric(posed.astype(np.float64))
    area = np.sqrt(np.maximum(np.linalg.det(before), 1e-24))
    ratio = np.linalg.solve(before + 1e-12 * np.eye(2), after)  # its eigenvalues are the squared principal stretches
    half_trace = 0.5 * np.trace(ratio, axis1=1, axis2=2)
    smaller = half_trace - np.sqrt(np.maximum(half_trace**2 - np.linalg.det(ratio), 0.0))
    shortened = np.maximum(0.5 * (1.0 - smaller), 0.0)
    corners, share = triangles.ravel(), np.repeat(area, 3)
    total = np.bincount(corners, share, len(rest))
    return np.bincount(corners, share * np.repeat(shortened, 3), len(rest)) / np.maximum(total, 1e-12)
