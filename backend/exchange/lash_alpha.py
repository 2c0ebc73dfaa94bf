"""How opaque the lashes are: MakeHuman's lashes are strips, dense at the lid and thinning out towards their tips."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components, shortest_path

from backend.exchange.face_asset import FaceAsset
from backend.geometry.topology import boundary_edges, vertex_adjacency

UPPER_ALPHA, LOWER_ALPHA = 1.0, 0.45
"""Alpha at the lid's edge."""

FALL_OFF = 0.9
"""Alpha goes with (1 - t)**FALL_OFF, t from 0 at the lid to 1 at the tips."""


def lash_alpha(asset: FaceAsset) -> np.ndarray:
    """(V,) float32 alpha in [0, 1] of the vertices of part ``lashes``.

    Every strip is a grid with four corners; of its two long sides, the one nearer to its eyeball is the root.
    Anything that is no such strip is opaque.
    """
    part = asset.part("lashes")
    eyes = np.stack([asset.part(name).vertices.mean(axis=0) for name in ("eye_left", "eye_right")])
    adjacency = vertex_adjacency(part.quads, len(part.vertices))
    border = boundary_edges(part.quads)
    alpha = np.ones(len(part.vertices), np.float32)
    count, strip_of = connected_components(adjacency, directed=False)
    for strip in range(count):
        members = np.flatnonzero(strip_of == strip)
        points = part.vertices[members].astype(np.float64)
        to_eye = np.linalg.norm(points[:, None] - eyes[None], axis=-1)
        eye = to_eye.mean(axis=0).argmin()
        sides = _long_sides(members, border[strip_of[border[:, 0]] == strip], adjacency)
        if sides is None:
            continue
        root, tip = sorted(sides, key=lambda side: to_eye[side, eye].mean())
        steps = shortest_path(adjacency[members][:, members], unweighted=True, indices=np.concatenate([root, tip]))
        from_root, from_tip = steps[: len(root)].min(axis=0), steps[len(root) :].min(axis=0)
        t = from_root / np.maximum(from_root + from_tip, 1)
        upper = points[:, 1].mean() > eyes[eye, 1]
        column = steps[: len(root)].argmin(axis=0)
        alpha[members] = (UPPER_ALPHA if upper else LOWER_ALPHA) * (1 - t) ** FALL_OFF
        alpha[members] *= _spread(points, from_root.astype(int), column)
    return alpha


def _spread(points: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """(P,) in (0, 1] by how much hairs are farther apart than elsewhere in their row of a strip's points (P, 3).

    A lid has as many hairs on each millimetre of its edge. At the outer corner ``hm08``'s strips fan out of hardly any
    edge: as opaque as the rest they are a dark blot there.
    """
    grid = np.full((row.max() + 1, column.max() + 1), -1)
    grid[row, column] = np.arange(len(points))
    if (grid < 0).any():
        return np.ones(len(points))
    step = np.linalg.norm(np.diff(points[grid], axis=1), axis=-1)  # (R, C - 1)
    step = 0.5 * (np.pad(step, ((0, 0), (1, 0)), "edge") + np.pad(step, ((0, 0), (0, 1)), "edge"))
    hairs = step[0] / np.maximum(step, 1e-9)
    share = np.minimum(1.0, hairs / np.median(hairs, axis=1, keepdims=True))
    return np.round(share, 4)[row, column]


def _long_sides(members: np.ndarray, border: np.ndarray, adjacency: csr_matrix) -> tuple[np.ndarray, np.ndarray] | None:
    """Positions in ``members`` of the vertices of a grid's two long sides; None when it has not four corners."""
    degree = np.diff(adjacency.indptr)
    follows = dict(border.tolist())
    corners = [vertex for vertex in members.tolist() if degree[vertex] == 2 and vertex in follows]
    if len(corners) != 4:
        return None
    sides = []
    for corner in corners:
        side = [corner, follows[corner]]
        while side[-1] not in corners and len(side) <= len(members):
            side.append(follows[side[-1]])
        sides.append(np.searchsorted(members, side))
    sides.sort(key=len)
    return sides[-2], sides[-1]
