"""The inside of the mouth (pocket): keep it behind the skin of the mean face, and move it with the skin around it."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import dijkstra

from backend.geometry.normals import vertex_normals
from backend.geometry.smoothstep import smoothstep
from trainer.template.closest_point import closest_points
from trainer.template.registration import vertex_areas

THICKNESS = 0.006
"""Distance in metres between the mouth's inside and the skin, away from the lips' edge."""

EDGE_ROWS = 5
"""Quads from the seam behind the lips over which the thickness and the skin's influence grow."""

LIP_ROWS = 4
"""Rows of the lips' skin from the seam that do not push the pocket."""

FLESH_RADIUS = 0.010
"""Radius in metres of the skin around a point of the mouth's inside that moves it."""


def _hops(quads: np.ndarray, sources: np.ndarray, count: int) -> np.ndarray:
    """(V,) number of edges to the nearest of ``sources``."""
    sides = np.stack([quads, np.roll(quads, -1, axis=1)], axis=-1).reshape(-1, 2)
    graph = sp.csr_matrix((np.ones(len(sides)), (sides[:, 0], sides[:, 1])), shape=(count, count))
    return dijkstra(graph, directed=False, indices=sources, unweighted=True, min_only=True)


def _away_from_seam(quads: np.ndarray, inside: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Vertices used by ``inside`` quads only, and a weight for each: 0 at the seam, 1 from ``EDGE_ROWS`` on."""
    outer = np.unique(quads[~inside])
    pocket = np.setdiff1d(np.unique(quads[inside]), outer)
    return pocket, smoothstep(0.0, EDGE_ROWS, _hops(quads, outer, count)[pocket])


def keep_pocket_behind_skin(points: np.ndarray, quads: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """``points`` (H, 3) with the pocket of the quads ``inside`` (F,) bool at least ``THICKNESS`` behind the skin."""
    points = points.copy()
    pocket, away = _away_from_seam(quads, inside, len(points))
    # without the lips' edges: one lip's pocket would be pushed behind the other lip's skin
    outer = quads[~inside]
    outer = outer[(_hops(quads, np.unique(quads[inside]), len(points))[outer] >= LIP_ROWS).all(1)]
    skin = np.concatenate([outer[:, [0, 1, 2]], outer[:, [0, 2, 3]]])
    normals = vertex_normals(points, skin)
    neighbours = _neighbour_means(quads[inside], len(points))[pocket][:, pocket]
    for _ in range(40):
        triangle, weights, _ = closest_points(points[pocket], points, skin)
        corners = skin[triangle]
        normal = (normals[corners] * weights[..., None]).sum(1)
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
        height = ((points[pocket] - (points[corners] * weights[..., None]).sum(1)) * normal).sum(1)
        push = np.maximum(height + THICKNESS * away, 0.0)
        step = -0.5 * push[:, None] * normal
        for _ in range(3):  # spread the push to neighbours
            step = np.where(push[:, None] > 0, step, 0.7 * (neighbours @ step))
        points[pocket] += step
    return points


def _neighbour_means(quads: np.ndarray, count: int) -> sp.csr_matrix:
    sides = np.stack([quads, np.roll(quads, -1, axis=1)], axis=-1).reshape(-1, 2)
    graph = sp.csr_matrix((np.ones(len(sides)), (sides[:, 0], sides[:, 1])), shape=(count, count))
    graph = ((graph + graph.T) > 0).astype(float)
    return sp.diags(1.0 / np.maximum(np.asarray(graph.sum(1)).ravel(), 1.0)) @ graph


def flesh_matrix(points: np.ndarray, quads: np.ndarray, inside: np.ndarray) -> sp.csr_matrix:
    """(H, H) matrix for identity offsets that moves the pocket with the skin around it.

    Rows sum to 1. A pocket vertex gets a mean of the skin around it, with a weight that grows away from the seam; all
    other rows are unit rows."""
    count = len(points)
    pocket, away = _away_from_seam(quads, inside, count)
    skin = np.unique(quads[~inside])
    triangles = np.concatenate([quads[~inside][:, [0, 1, 2]], quads[~inside][:, [0, 2, 3]]])
    areas = vertex_areas(points, triangles)[skin]
    square = ((points[pocket][:, None] - points[skin][None]) ** 2).sum(-1)
    nearest = square.min(1, keepdims=True)
    weights = areas * np.exp(-(square - nearest) / FLESH_RADIUS**2)
    weights /= weights.sum(1, keepdims=True)
    weights[weights < 1e-4] = 0.0
    weights *= (away / weights.sum(1))[:, None]
    keep = np.ones(count)
    keep[pocket] = 1.0 - away
    scatter = sp.csr_matrix((np.ones(len(pocket)), (pocket, np.arange(len(pocket)))), shape=(count, len(pocket)))
    gather = sp.csr_matrix((np.ones(len(skin)), (np.arange(len(skin)), skin)), shape=(len(skin), count))
    return (sp.diags(keep) + scatter @ sp.csr_matrix(weights) @ gather).tocsr()
