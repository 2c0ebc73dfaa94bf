"""Register one head mesh to another: first by landmarks, then by closest points with a smooth displacement field."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.interpolate import RBFInterpolator
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

from backend.geometry.normals import vertex_normals
from backend.geometry.similarity import Similarity, nearest_similarity
from trainer.data.midpoint import open_edges


def robust_similarity(source: np.ndarray, target: np.ndarray, keep: float = 0.7) -> Similarity:
    """``nearest_similarity`` of the share ``keep`` of the pairs with the smallest residuals (trimmed, ten
    iterations)."""
    chosen = np.arange(len(source))
    for _ in range(10):
        found = nearest_similarity(source[chosen], target[chosen])
        distance = np.linalg.norm(found.apply(source) - target, axis=1)
        chosen = np.argsort(distance)[: max(int(len(source) * keep), 4)]
    return found


def warp_by_landmarks(
    points: np.ndarray, source: np.ndarray, target: np.ndarray, smoothing: float = 1e-3
) -> np.ndarray:
    """Move ``points`` (P, 3) by a smooth displacement field (kernel r plus a constant) that maps landmarks ``source``
    to ``target`` (L, 3). Both should be aligned already; the field levels off far away instead of extrapolating."""
    return points + RBFInterpolator(source, target - source, kernel="linear", degree=0, smoothing=smoothing)(points)


def graph_laplacian(faces: np.ndarray, count: int) -> sparse.csr_matrix:
    """(V, V) uniform Laplacian with rows divided by the number of neighbours."""
    pairs = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    pairs = np.concatenate([pairs, pairs[:, ::-1]])
    adjacency = sparse.csr_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    adjacency.data[:] = 1.0
    degree = np.maximum(np.asarray(adjacency.sum(1)).ravel(), 1.0)
    return (sparse.identity(count) - sparse.diags(1 / degree) @ adjacency).tocsr()


def boundary_vertices(faces: np.ndarray) -> np.ndarray:
    """Ids of vertices on open edges."""
    return np.unique(open_edges(faces))


def longest_border(faces: np.ndarray) -> np.ndarray:
    """Ids of vertices on the longest connected line of open edges: the rim of a mask, not its holes."""
    edges = open_edges(faces)
    count = int(edges.max()) + 1
    _, line = connected_components(
        sparse.coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(count, count)), directed=False
    )
    longest = np.bincount(line[edges[:, 0]]).argmax()
    return np.unique(edges[line[edges[:, 0]] == longest])


def fit_surface(
    vertices: np.ndarray,
    faces: np.ndarray,
    movable: np.ndarray,
    target_vertices: np.ndarray,
    target_faces: np.ndarray,
    stiffness: tuple[float, ...] = (30.0, 10.0, 3.0, 1.0, 0.3, 0.1),
    reach: float = 0.012,
) -> np.ndarray:
    """Register a mesh non-rigidly to a nearby target by closest points.

    Every iteration pulls each vertex towards its closest target point along the target's normal. The total displacement
    stays smooth (bi-Laplacian, weight ``stiffness``), so that parts without a target follow their surroundings.

    Parameters
    ----------
    vertices, faces : the mesh to move, (V, 3) metres and (F, 3).
    movable : (V,) 0-1, strength of the pull on a vertex (0: it only follows).
    target_vertices, target_faces : dense target, (T, 3) and (G, 3).
    reach : metres beyond which there is no pull.

    Returns
    -------
    (V, 3) moved vertices.
    """
    normals_target = vertex_normals(target_vertices, target_faces)
    tree = cKDTree(target_vertices)
    on_rim = np.zeros(len(target_vertices), bool)
    on_rim[boundary_vertices(target_faces)] = True
    smooth = graph_laplacian(faces, len(vertices))
    smooth = smooth.T @ smooth
    anchor = sparse.identity(len(vertices)) * 1e-6
    moved = vertices.copy()
    for weight in stiffness:
        for _ in range(2):
            distance, index = tree.query(moved)
            facing = (vertex_normals(moved, faces) * normals_target[index]).sum(1)
            use = movable * (distance < reach) * (facing > 0.5) * ~on_rim[index]
            # point-to-plane distance: sliding along the surface costs nothing
            gap = ((target_vertices[index] - moved) * normals_target[index]).sum(1, keepdims=True)
            goal = moved + gap * normals_target[index] - vertices
            system = (sparse.diags(use) + weight * smooth + anchor).tocsc()
            moved = vertices + splu(system).solve(use[:, None] * goal)
    return moved


def spread_field(
    faces: np.ndarray, held: np.ndarray, displacement: np.ndarray, fading: float, stiffness: float = 0.1
) -> np.ndarray:
    """(V, 3) smooth field (bi-Laplacian) that equals ``displacement`` (V, 3) where ``held`` (V,) and fades out
    elsewhere over about ``fading`` edges of the mesh with triangles ``faces`` (F, 3)."""
    smooth = graph_laplacian(faces, len(held))
    smooth = stiffness * (smooth.T @ smooth)
    # |L u|^2 + fading^-4 |u|^2 decays over ``fading`` edges
    weight = np.where(held, 1e3, stiffness * fading**-4)
    field = splu((smooth + sparse.diags(weight)).tocsc()).solve(np.where(held, 1e3, 0.0)[:, None] * displacement)
    return np.where(held[:, None], displacement, field)
