"""Lash strips as vertex grids: MakeHuman has one strip per lid, from its edge to the tips."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components, shortest_path

from backend.exchange.face_asset import FaceAsset
from backend.geometry.topology import boundary_edges, vertex_adjacency


@dataclass(frozen=True)
class LashStrip:
    """A strip of P vertices of part ``lashes``.

    Attributes
    ----------
    members : (P,) int vertices of part ``lashes``. points : (P, 3) float64, their positions, metres, head frame.
    row : (P,) int edge steps from the root, the side at the lid. column : (P,) int nearest root vertex, counted along
        the root.
    share : (P,) in [0, 1] from the root to the tips, by steps.
    upper : whether the strip belongs to the upper lid.
    """

    members: np.ndarray
    points: np.ndarray
    row: np.ndarray
    column: np.ndarray
    share: np.ndarray
    upper: bool

    def grid(self) -> np.ndarray | None:
        """(R, C) int positions in ``members``, root row first; None if the strip is not a regular grid."""
        grid = np.full((self.row.max() + 1, self.column.max() + 1), -1)
        grid[self.row, self.column] = np.arange(len(self.members))
        return None if (grid < 0).any() else grid


def lash_strips(asset: FaceAsset) -> Iterator[LashStrip]:
    """Yield the strips of part ``lashes``: pieces with four corners. The root is the long side nearer to the
    eyeball."""
    part = asset.part("lashes")
    eyes = np.stack([asset.part(name).vertices.mean(axis=0) for name in ("eye_left", "eye_right")])
    adjacency = vertex_adjacency(part.quads, len(part.vertices))
    border = boundary_edges(part.quads)
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
        yield LashStrip(
            members,
            points,
            row=from_root.astype(int),
            column=steps[: len(root)].argmin(axis=0),
            share=from_root / np.maximum(from_root + from_tip, 1),
            upper=bool(points[:, 1].mean() > eyes[eye, 1]),
        )


def _long_sides(members: np.ndarray, border: np.ndarray, adjacency: csr_matrix) -> tuple[np.ndarray, np.ndarray] | None:
    """Positions in ``members`` of the vertices of a grid's two long sides; None unless it has four corners."""
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
