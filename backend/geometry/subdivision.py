"""Catmull-Clark subdivision as sparse matrices (Catmull & Clark, 1978). Borders follow the cubic B-spline rule; UV maps
are split linearly, so that one texture fits the cage and every level.

Begin with ``subdivision(level)``, the shipped template's, cached. ``subdivide`` takes another template;
``catmull_clark``, ``linear_split`` and ``refined`` any quads: a bust, a scalp, the parts of a head that is written. The
cage is a mesh before its subdivision.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.sparse as sp

from backend.geometry.template import PartRange, Template, load_template


@dataclass(frozen=True)
class Subdivision:
    """The template's topology at a level.

    Attributes
    ----------
    matrix : (V_level, V) float32 CSR; ``matrix @ cage`` are the positions. Rows sum to 1; a
        part's first ones are its cage's vertices, in their order.
    quads : (F_level, 4) int32, F_level = F * 4**level; the children of a quad are neighbours in this array.
    parts : part name -> range in ``quads`` and in the rows of ``matrix``.
    uv_head, uv_head_quads : UV map ``Head``, corner by corner with ``quads``.
    """

    matrix: sp.csr_matrix
    quads: np.ndarray
    parts: Mapping[str, PartRange]
    uv_head: np.ndarray
    uv_head_quads: np.ndarray

    def positions(self, cage: np.ndarray) -> np.ndarray:
        """(V_level, 3) positions from cage positions (V, 3), in the cage's dtype."""
        return (self.matrix @ cage).astype(cage.dtype, copy=False)


@dataclass(frozen=True)
class _EdgeTopology:
    """Edges of a quad mesh and the topology after one split."""

    edges: np.ndarray  # (E, 2) sorted vertex ids
    face_edges: np.ndarray  # (F, 4) edge between corners c and c + 1
    quads: np.ndarray  # (4 F, 4): corner, edge after it, face centre, edge before it


def _edge_topology(quads: np.ndarray, count: int) -> _EdgeTopology:
    sides = np.stack([quads, np.roll(quads, -1, axis=1)], axis=-1)  # (F, 4, 2)
    first, second = np.sort(sides.reshape(-1, 2).astype(np.int64), axis=1).T
    keys, inverse = np.unique(first * count + second, return_inverse=True)  # 10 times as fast as unique rows
    edges, face_edges = np.stack(np.divmod(keys, count), axis=1).astype(quads.dtype), inverse.reshape(-1, 4)
    middle = count + face_edges
    centre = np.broadcast_to((count + len(edges) + np.arange(len(quads)))[:, None], quads.shape)
    children = np.stack([quads, middle, centre, np.roll(middle, 1, axis=1)], axis=-1)
    return _EdgeTopology(edges, face_edges, children.reshape(-1, 4))


def _rows(columns: np.ndarray, values: float, count: int) -> sp.csr_matrix:
    """Sparse matrix whose row r has ``values`` at ``columns[r]``."""
    rows = np.repeat(np.arange(len(columns)), columns.shape[1])
    return sp.csr_matrix((np.full(columns.size, values), (rows, columns.ravel())), shape=(len(columns), count))


def linear_split(quads: np.ndarray, count: int) -> tuple[sp.csr_matrix, np.ndarray]:
    """Matrix (V + E + F, V) and quads (4 F, 4) of one split that adds edge middles and face centres."""
    split = _edge_topology(quads, count)
    stages = [sp.identity(count, format="csr"), _rows(split.edges, 0.5, count), _rows(quads, 0.25, count)]
    return sp.vstack(stages, format="csr"), split.quads


def catmull_clark(quads: np.ndarray, count: int) -> tuple[sp.csr_matrix, np.ndarray]:
    """Matrix (V + E + F, V) and quads (4 F, 4) of one Catmull-Clark step.

    Parameters
    ----------
    quads : (F, 4) vertex ids of a manifold mesh, possibly with borders; no repeated corners.
    count : V, number of vertices.

    Raises
    ------
    ValueError : an edge has more than two faces, or a quad repeats a corner.
    """
    split = _edge_topology(quads, count)
    uses = np.bincount(split.face_edges.ravel(), minlength=len(split.edges))
    if uses.max() > 2:
        raise ValueError(f"{(uses > 2).sum()} edges have more than two faces")
    if (np.diff(np.sort(quads, axis=1), axis=1) == 0).any():
        raise ValueError("a quad repeats a corner")
    face_points = _rows(quads, 0.25, count)
    middles = _rows(split.edges, 0.5, count)
    border = uses == 1
    # edge points: mean of the middle and the mean of the two face points; the middle itself on a border
    neighbours = sp.csr_matrix(
        (np.ones(quads.size), (split.face_edges.ravel(), np.repeat(np.arange(len(quads)), 4))),
        shape=(len(split.edges), len(quads)),
    )
    inner = sp.diags((~border).astype(float))
    edge_points = inner @ (0.5 * middles + 0.25 * neighbours @ face_points) + sp.diags(border.astype(float)) @ middles
    # vertex points: (mean of face points + 2 mean of edge middles + (n - 3) vertex) / n; border: 1/8, 3/4, 1/8
    faces_at = sp.csr_matrix(
        (np.ones(quads.size), (quads.ravel(), np.repeat(np.arange(len(quads)), 4))), shape=(count, len(quads))
    )
    edges_at = _rows(split.edges, 1.0, count).T.tocsr()
    valence = np.maximum(np.asarray(edges_at.sum(1)).ravel(), 1.0)
    corners = np.maximum(np.asarray(faces_at.sum(1)).ravel(), 1.0)
    smooth = (
        sp.diags(1.0 / (valence * corners)) @ faces_at @ face_points
        + sp.diags(2.0 / valence**2) @ edges_at @ middles
        + sp.diags((valence - 3.0) / valence)
    )
    border_edges = edges_at @ sp.diags(border.astype(float))
    on_border = np.asarray(border_edges.sum(1)).ravel() > 0
    # two border middles each hold half of the vertex: 1/4 (m1 + m2) + 1/2 v = 1/8 a + 3/4 v + 1/8 b
    share = 0.5 / np.maximum(np.asarray(border_edges.sum(1)).ravel(), 1.0)
    border_points = sp.diags(share) @ border_edges @ middles + sp.diags(np.full(count, 0.5))
    vertex_points = sp.diags((~on_border).astype(float)) @ smooth + sp.diags(on_border.astype(float)) @ border_points
    return sp.vstack([vertex_points, edge_points, face_points], format="csr"), split.quads


def refined(quads: np.ndarray, count: int, levels: int) -> tuple[sp.csr_matrix, np.ndarray]:
    """Matrix (V_level, V) and quads of ``levels`` steps on quads (F, 4) of V = ``count`` vertices; raises as
    ``catmull_clark``."""
    matrix, quads = sp.identity(count, format="csr"), quads.astype(np.int64)
    for _ in range(levels):
        step, quads = catmull_clark(quads, matrix.shape[0])
        matrix = step @ matrix
    return matrix, quads


def _subdivide_maps(uv: np.ndarray, quads: np.ndarray, level: int) -> tuple[np.ndarray, np.ndarray]:
    for _ in range(level):
        matrix, quads = linear_split(quads, len(uv))
        uv = matrix @ uv
    return uv.astype(np.float32), quads.astype(np.int32)


def subdivide(template: Template, level: int) -> Subdivision:
    """The topology of ``template`` after ``level`` Catmull-Clark steps, part by part.

    Raises ``ValueError`` for a negative level.
    """
    if level < 0:
        raise ValueError(f"level must be at least 0, not {level}")
    matrices, quads, parts = [], [], {}
    vertex_start = face_start = 0
    for name, part in template.parts.items():
        count = part.vertex_stop - part.vertex_start
        own = template.quads[part.face_start : part.face_stop].astype(np.int64) - part.vertex_start
        matrix, faces = refined(own, count, level)
        matrices.append(matrix)
        quads.append(faces + vertex_start)
        parts[name] = PartRange(vertex_start, vertex_start + matrix.shape[0], face_start, face_start + len(faces))
        vertex_start, face_start = vertex_start + matrix.shape[0], face_start + len(faces)
    uv_head, uv_head_quads = _subdivide_maps(template.uv_head, template.uv_head_quads, level)
    return Subdivision(
        sp.block_diag(matrices, format="csr").astype(np.float32),
        np.concatenate(quads).astype(np.int32),
        parts,
        uv_head,
        uv_head_quads,
    )


@lru_cache(maxsize=4)
def subdivision(level: int) -> Subdivision:
    """``subdivide`` of the committed template, cached."""
    return subdivide(load_template(), level)
