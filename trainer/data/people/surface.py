"""The template prepared for rendering people: tensors on a device, smoothed, cut open at UV seams."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from backend.geometry.sparse_product import spread
from backend.geometry.template import Template
from backend.geometry.topology import triangulate

PARTS = ("head", "eye_left", "eye_right", "teeth_upper", "teeth_lower", "tongue")
"""The template's rendered parts; lashes are painted."""
HEAD, EYE_LEFT, EYE_RIGHT, TEETH_UPPER, TEETH_LOWER, TONGUE = range(6)
"""Kinds of vertices in ``PeopleSurface.kind``."""


def smoothing(quads: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, columns and values of the (V, V) matrix that moves cage vertices as one Catmull-Clark step does.

    Like ``backend.geometry.subdivision`` (whose matrices need scipy), but without the new vertices.
    """
    quads = np.asarray(quads, np.int64)
    sides = np.sort(np.stack([quads, np.roll(quads, -1, axis=1)], -1).reshape(-1, 2), axis=1)
    edges, uses = np.unique(sides, axis=0, return_counts=True)
    valence = np.bincount(edges.ravel(), minlength=count)
    corners = np.bincount(quads.ravel(), minlength=count)
    border_edges = edges[uses == 1]
    on_border = np.zeros(count, bool)
    on_border[border_edges.ravel()] = True
    n = np.maximum(valence, 1).astype(np.float64)
    rows, columns, values = [], [], []

    def add(row: np.ndarray, column: np.ndarray, value: np.ndarray) -> None:
        rows.append(row)
        columns.append(column)
        values.append(np.broadcast_to(value, row.shape))

    for i in range(4):  # mean of the face points, over n
        for j in range(4):
            inner = ~on_border[quads[:, i]]
            row, column = quads[inner, i], quads[inner, j]
            add(row, column, 0.25 / (n[row] * corners[row]))
    for a, b in ((0, 1), (1, 0)):  # twice the mean of the edge middles, over n
        inner = ~on_border[edges[:, a]]
        row, column = edges[inner, a], edges[inner, b]
        add(row, column, 1.0 / n[row] ** 2)
        add(row, row, 1.0 / n[row] ** 2)
        row, column = border_edges[:, a], border_edges[:, b]
        add(row, column, np.full(len(row), 0.125))
    every = np.arange(count)
    add(every, every, np.where(on_border, 0.75, np.where(valence > 0, (n - 3.0) / n, 1.0)))
    return np.concatenate(rows), np.concatenate(columns), np.concatenate(values)


class PeopleSurface:
    """The rendered triangles, on one device.

    The template has V vertices; cut open at the UV seams there are X.

    Attributes
    ----------
    template : the template. mean (V, 3), modes (K, V, 3), expressions (52, V, 3): its arrays on the device; expressions
        do not move the eyeballs, which are rotated instead.
    faces : (F, 3) of the mesh before cutting; used for normals. cut_faces : (F, 3) into X.
    source : (X,) vertex among V. uv : (X, 2) in [0, 1], v up.
    kind : (V,) part of each vertex, ``HEAD`` to ``TONGUE``, -1 for those that are not rendered. face_kind : (F,).
    rest : (V, 3) the mean face after smoothing, metres.
    """

    def __init__(self, template: Template, device: torch.device) -> None:
        self.template, self.device = template, device
        ranges = [template.parts[name] for name in PARTS]
        quads = np.concatenate([template.quads[part.face_start : part.face_stop] for part in ranges])
        uv_quads = np.concatenate([template.uv_head_quads[part.face_start : part.face_stop] for part in ranges])
        triangles = triangulate(quads)
        uv_faces = triangles.apply(uv_quads)
        pairs, cut = np.unique(np.stack([triangles.faces.ravel(), uv_faces.ravel()], 1), axis=0, return_inverse=True)
        count = len(template.vertices)
        kind = np.full(count, -1, np.int64)
        for number, part in enumerate(ranges):
            kind[part.vertex_start : part.vertex_stop] = number
        expressions = template.expressions.copy()
        for eye in ("eye_left", "eye_right"):
            part = template.parts[eye]
            expressions[:, part.vertex_start : part.vertex_stop] = 0
        rows, columns, values = smoothing(template.quads, count)
        self._smoothing = (
            torch.sparse_coo_tensor(
                torch.from_numpy(np.stack([rows, columns])),
                torch.from_numpy(values.astype(np.float32)),
                (count, count),
                check_invariants=False,
            )
            .coalesce()
            .to(device)
        )
        self.vertex_count = count
        self.mean = torch.from_numpy(template.vertices).to(device)
        self.modes = torch.from_numpy(template.identity_modes).to(device)
        self.expressions = torch.from_numpy(expressions).to(device)
        self.faces = torch.from_numpy(triangles.faces).to(device)
        self.cut_faces = torch.from_numpy(cut.reshape(-1, 3)).to(device)
        self.source = torch.from_numpy(pairs[:, 0]).to(device)
        self.uv = torch.from_numpy(template.uv_head[pairs[:, 1]].astype(np.float32)).to(device)
        self.kind = torch.from_numpy(kind).to(device)
        self.face_kind = self.kind[self.faces[:, 0]]
        self.rest = self.drawn(self.mean[None])[0]

    def drawn(self, cage: Tensor) -> Tensor:
        """Smooth cages (N, V, 3): their vertices (N, V, 3) after one Catmull-Clark step."""
        return spread(self._smoothing, cage)
