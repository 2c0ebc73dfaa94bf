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
        alpha[members] = (UPPER_ALPHA if upper else LOWER_ALPHA) * (1 - t) ** FALL_OFF
    return alpha


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
