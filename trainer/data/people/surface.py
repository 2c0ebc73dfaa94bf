"""The template as the renderer of people wants it: tensors on a device, smoothed, UV seams cut open, on a bust."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from backend.geometry.template import Template
from backend.geometry.topology import boundary_edges, triangulate

PARTS = ("head", "eye_left", "eye_right", "teeth_upper", "teeth_lower", "tongue")
"""The template's parts that are drawn; lashes are painted."""
HEAD, EYE_LEFT, EYE_RIGHT, TEETH_UPPER, TEETH_LOWER, TONGUE, BUST = range(7)
"""Kinds of vertices in ``PeopleSurface.kind``."""
BUST_RINGS = (
    # half-widths along x and z in metres (0: the rim's own times the next factor), drop, centre's shift along z
    (0.0, 1.0, 0.012, -0.002),
    (0.0, 1.0, 0.028, -0.006),
    (0.0, 1.03, 0.042, -0.011),
    (0.0, 1.14, 0.054, -0.015),
    (0.095, 0.082, 0.066, -0.019),
    (0.125, 0.094, 0.078, -0.022),
    (0.158, 0.103, 0.094, -0.024),
    (0.186, 0.110, 0.116, -0.025),
    (0.207, 0.116, 0.150, -0.025),
    (0.218, 0.122, 0.210, -0.025),
    (0.222, 0.130, 0.420, -0.020),
)
"""The bust below the head model's rim: neck, trapezius, shoulders, arms."""
TURNED_FROM = 5
"""Rings from this one on do not turn with the head."""


@dataclass(frozen=True)
class Bust:
    """The open rim of the neck, in order around it, and what hangs from it.

    Attributes
    ----------
    rim : (L,) template vertices. ring : (R * L,) which ring (0 is ``BUST_RINGS[0]``). place : (R * L,) index on the rim.
    """

    rim: np.ndarray
    ring: np.ndarray
    place: np.ndarray


def find_bust(template: Template) -> Bust:
    """Walk around the head's only open border."""
    head = template.head
    following = dict(boundary_edges(template.quads[head.face_start : head.face_stop]).tolist())
    start = min(following)
    rim = [start]
    while following[rim[-1]] != start:
        rim.append(following[rim[-1]])
    count = len(rim)
    ring, place = np.divmod(np.arange(len(BUST_RINGS) * count), count)
    return Bust(np.array(rim), ring, place)


def smoothing(quads: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, columns and values of the (V, V) matrix that moves cage vertices to where one Catmull-Clark step has them.

    As ``backend.geometry.subdivision``, whose matrices need scipy, without the new vertices.
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
    """The triangles that are drawn, for one device.

    V template vertices; W = V' + bust vertices of the drawn mesh before its UV seams are cut; X vertices after.

    Attributes
    ----------
    template : where all comes from. mean (V, 3), modes (K, V, 3), expressions (52, V, 3): the template's, on the device;
        the eyeballs do not move by expressions, they are turned.
    faces : (F, 3) of the mesh before cutting, into W vertices; used for normals. cut_faces : (F, 3) into X.
    source : (X,) vertex among W. uv : (X, 2) in [0, 1], v up, meaningless on the bust.
    kind : (W,) part of each vertex, ``HEAD`` to ``BUST``. face_kind : (F,).
    rest : (W, 3) the mean face with its bust, metres.
    """

    def __init__(self, template: Template, device: torch.device) -> None:
        self.template, self.device = template, device
        self.bust = find_bust(template)
        ranges = [template.parts[name] for name in PARTS]
        quads = np.concatenate([template.quads[part.face_start : part.face_stop] for part in ranges])
        uv_quads = np.concatenate([template.uv_head_quads[part.face_start : part.face_stop] for part in ranges])
        triangles = triangulate(quads)
        count = len(template.vertices)
        bust_faces = self._bust_faces(count)
        faces = np.concatenate([triangles.faces, bust_faces])
        uv_faces = triangles.apply(uv_quads)
        pairs, cut = np.unique(np.stack([triangles.faces.ravel(), uv_faces.ravel()], 1), axis=0, return_inverse=True)
        bust_count = len(self.bust.ring)
        cut_of_vertex = np.zeros(count + bust_count, np.int64)
        cut_of_vertex[pairs[:, 0]] = np.arange(len(pairs))
        cut_of_vertex[count:] = len(pairs) + np.arange(bust_count)
        cut_faces = np.concatenate([cut.reshape(-1, 3), cut_of_vertex[bust_faces]])
        source = np.concatenate([pairs[:, 0], count + np.arange(bust_count)])
        uv = np.concatenate([template.uv_head[pairs[:, 1]], np.zeros((bust_count, 2), np.float32)])
        kind = np.full(count + bust_count, BUST, np.int64)
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
        self.faces = torch.from_numpy(faces).to(device)
        self.cut_faces = torch.from_numpy(cut_faces).to(device)
        self.source = torch.from_numpy(source).to(device)
        self.uv = torch.from_numpy(uv.astype(np.float32)).to(device)
        self.kind = torch.from_numpy(kind).to(device)
        self.face_kind = self.kind[self.faces[:, 0]].clone()
        self.face_kind[len(triangles.faces) :] = BUST
        self._rim = torch.from_numpy(self.bust.rim).to(device)
        still = torch.eye(3, device=device)[None]
        self.rest = self.drawn(self.mean[None], still, torch.ones(1, 2, device=device))[0]

    def _bust_faces(self, count: int) -> np.ndarray:
        """(F', 3) triangles between the rim and the rings, outside counter-clockwise."""
        length = len(self.bust.rim)
        rings = [self.bust.rim] + [count + np.arange(length) + length * ring for ring in range(len(BUST_RINGS))]
        faces = []
        for upper, lower in zip(rings[:-1], rings[1:], strict=True):
            a, b, c, d = upper, np.roll(upper, -1), lower, np.roll(lower, -1)
            faces += [np.stack([b, a, c], 1), np.stack([b, c, d], 1)]
        return np.concatenate(faces)

    def drawn(self, cage: Tensor, body_from_head: Tensor, build: Tensor) -> Tensor:
        """(N, W, 3) vertices that are drawn, from cages (N, V, 3).

        body_from_head : (N, 3, 3) rotation of the shoulders against the head. build : (N, 2) factors on the width of
        the neck's base and shoulders and on the neck's length.
        """
        n, count, _ = cage.shape
        planes = cage.permute(1, 0, 2).reshape(count, n * 3)
        smooth = torch.sparse.mm(self._smoothing, planes).view(count, n, 3).permute(1, 0, 2)
        return torch.cat([smooth, self._hang_bust(smooth, body_from_head, build)], 1)

    def _hang_bust(self, vertices: Tensor, body_from_head: Tensor, build: Tensor) -> Tensor:
        """(N, R * L, 3) rings below the rim of vertices (N, V, 3)."""
        rim = vertices[:, self._rim]  # (N, L, 3)
        middle = (rim.amax(1, keepdim=True) + rim.amin(1, keepdim=True)) / 2
        half = (rim.amax(1, keepdim=True) - rim.amin(1, keepdim=True)) / 2
        offset = rim - middle
        angle = torch.atan2(offset[..., 2] / half[..., 2], offset[..., 0] / half[..., 0])  # (N, L)
        circle = torch.stack([torch.cos(angle), torch.zeros_like(angle), torch.sin(angle)], -1)
        rings = []
        base = middle - middle.new_tensor([0.0, 0.06, 0.01])
        for number, (wide, deep, drop, back) in enumerate(BUST_RINGS):
            if wide == 0.0:
                even = number / 4
                ring = (1 - even) * offset * offset.new_tensor([deep, 1.0, deep]) + even * deep * circle * half
            else:
                share = build[:, :1, None] * offset.new_tensor([wide, 0.0, deep])  # (N, 1, 3)
                ring = circle * share
            # in front the neck ends lower than behind, towards the collar bones
            slope = circle[..., 2] * 0.022 * min(number / 3, 1.0)
            height = -drop * build[:, 1:2] - slope
            ring = ring + middle + torch.stack([0 * height, height, 0 * height + back], -1)
            turn = min((number + 1) / (TURNED_FROM + 1), 1.0)
            turned = (ring - base) @ body_from_head.transpose(1, 2) + base
            rings.append(torch.lerp(ring, turned, turn))
        return torch.cat(rings, 1)
