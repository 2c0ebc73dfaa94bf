"""Select the template's parts of ``hm08``: the head down to a closed neck ring, eyes, teeth, tongue, lashes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.spatial import cKDTree

from backend.exchange.face_asset import PART_NAMES
from backend.geometry.subdivision import linear_split
from backend.geometry.template import PartRange
from trainer.template.makehuman import BaseMesh

NECK_RING_VERTEX = 855
"""``hm08`` vertex in the middle of the neck's back, on the edge loop at which the head ends (42 vertices)."""

_GROUPS = {
    "eye_left": ("helper-l-eye",),
    "eye_right": ("helper-r-eye",),
    "teeth_upper": ("helper-upper-teeth",),
    "teeth_lower": ("helper-lower-teeth",),
    "tongue": ("helper-tongue",),
    "lashes": ("helper-l-eyelashes-1", "helper-l-eyelashes-2", "helper-r-eyelashes-1", "helper-r-eyelashes-2"),
}


@dataclass(frozen=True)
class Selection:
    """A selection of ``hm08``'s vertices and quads, part by part.

    Attributes
    ----------
    hm08_vertex : (V,) ``hm08`` ids in the selection's order.
    hm08_face : (F,) rows of ``BaseMesh.quads`` in the selection's order.
    parts : part name -> range.
    quads : (F, 4) vertex ids of the selection.
    mirror : (V,) vertex of the selection across the median plane.
    """

    hm08_vertex: np.ndarray
    hm08_face: np.ndarray
    parts: Mapping[str, PartRange]
    quads: np.ndarray
    mirror: np.ndarray


def _edges_to_faces(quads: np.ndarray) -> dict[frozenset[int], list[int]]:
    faces = defaultdict(list)
    for face, quad in enumerate(quads):
        for corner in range(4):
            faces[frozenset((int(quad[corner]), int(quad[(corner + 1) % 4])))].append(face)
    return faces


def edge_loop(quads: np.ndarray, first: int, second: int) -> list[int]:
    """Vertices of the closed quad edge loop through the edge (first, second); raises ``ValueError`` at a pole."""
    faces = _edges_to_faces(quads)
    neighbours = defaultdict(set)
    for edge in faces:
        a, b = edge
        neighbours[a].add(b)
        neighbours[b].add(a)
    loop = [first, second]
    while True:
        a, b = loop[-2], loop[-1]
        beside = set(faces[frozenset((a, b))])
        onward = [c for c in neighbours[b] if c != a and not beside & set(faces[frozenset((b, c))])]
        if len(neighbours[b]) != 4 or len(onward) != 1:
            raise ValueError(f"the edge loop through {first}, {second} ends at vertex {b}")
        if onward[0] == first:
            return loop
        loop.append(onward[0])


def head_faces(base: BaseMesh) -> np.ndarray:
    """Rows of ``base.quads`` above the neck ring, in the base mesh's order."""
    body = np.flatnonzero(base.groups == "body")
    quads = base.quads[body]
    faces = _edges_to_faces(quads)
    beside = {int(v) for edge in faces if NECK_RING_VERTEX in edge for v in edge if base.vertices[v, 0] > 1e-5}
    ring = next(edge_loop(quads, NECK_RING_VERTEX, vertex) for vertex in sorted(beside))
    cut = {frozenset(pair) for pair in zip(ring, [*ring[1:], ring[0]], strict=True)}
    top = int(np.argmax(base.vertices[:13380, 1]))
    stack = [int(face) for face in np.flatnonzero((quads == top).any(1))]
    inside = set(stack)
    while stack:
        quad = quads[stack.pop()]
        for corner in range(4):
            edge = frozenset((int(quad[corner]), int(quad[(corner + 1) % 4])))
            if edge not in cut:
                fresh = [face for face in faces[edge] if face not in inside]
                inside.update(fresh)
                stack.extend(fresh)
    return body[sorted(inside)]


def select(base: BaseMesh) -> Selection:
    """Select the template's vertices and quads, part by part, each part in ``hm08`` order."""
    hm08_vertex, hm08_face, parts = [], [], {}
    vertex_start = face_start = 0
    for name in PART_NAMES:
        rows = head_faces(base) if name == "head" else np.flatnonzero(np.isin(base.groups, _GROUPS[name]))
        ids = np.unique(base.quads[rows])
        parts[name] = PartRange(vertex_start, vertex_start + len(ids), face_start, face_start + len(rows))
        vertex_start, face_start = vertex_start + len(ids), face_start + len(rows)
        hm08_vertex.append(ids)
        hm08_face.append(rows)
    vertex_ids, face_rows = np.concatenate(hm08_vertex), np.concatenate(hm08_face)
    lookup = np.full(len(base.vertices), -1)
    lookup[vertex_ids] = np.arange(len(vertex_ids))
    mirror = lookup[base.mirror[vertex_ids]]
    if (mirror < 0).any() or (mirror[mirror] != np.arange(len(mirror))).any():
        raise ValueError("the mirror map is not an involution on the template")
    return Selection(vertex_ids, face_rows, parts, lookup[base.quads[face_rows]], mirror)


@dataclass(frozen=True)
class Refined:
    """The template's topology: the selection with its eyeballs subdivided once.

    Attributes
    ----------
    matrix : (V, V_selection) sparse; rows of ``hm08``'s own vertices are unit rows.
    hm08_vertex : (V,) ``hm08`` ids, -1 for the eyeballs' new vertices.
    parts, quads, mirror : as in ``Selection``.
    """

    matrix: sp.csr_matrix
    hm08_vertex: np.ndarray
    parts: Mapping[str, PartRange]
    quads: np.ndarray
    mirror: np.ndarray


def refine_eyes(selection: Selection, points: np.ndarray) -> Refined:
    """Split every quad of the two eyeballs in four; ``points`` (V, 3) are symmetric positions (to find the mirror)."""
    blocks, ids, quads, parts, start, face = [], [], [], {}, 0, 0
    for name, part in selection.parts.items():
        count = part.vertex_stop - part.vertex_start
        faces = selection.quads[part.face_start : part.face_stop] - part.vertex_start
        matrix = sp.identity(count, format="csr")
        own = selection.hm08_vertex[part.vertex_start : part.vertex_stop]
        if name.startswith("eye"):
            matrix, faces = linear_split(faces, count)
            own = np.concatenate([own, np.full(matrix.shape[0] - count, -1)])
        parts[name] = PartRange(start, start + matrix.shape[0], face, face + len(faces))
        blocks.append(matrix)
        ids.append(own)
        quads.append(faces + start)
        start, face = start + matrix.shape[0], face + len(faces)
    matrix = sp.block_diag(blocks, format="csr")
    fine = matrix @ points
    mirror = cKDTree(fine).query(fine * [-1.0, 1.0, 1.0])[1]
    old = np.flatnonzero(np.concatenate(ids) >= 0)
    mirror[old] = old[selection.mirror]
    if (mirror[mirror] != np.arange(len(mirror))).any():
        raise ValueError("the mirror map is not an involution on the eyeballs")
    return Refined(matrix, np.concatenate(ids), parts, np.concatenate(quads), mirror)
