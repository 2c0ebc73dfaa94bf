"""Pieces of a mesh other than skin: eyeballs, teeth, tongue, lashes. Only numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .alignment import Similarity, fit_similarity
from .lids import Eyeball
from .nearest import nearest
from .surface import EdgeOperator, Surface

STIFF = 0.05
"""A part is stiff (an eyeball, teeth) if its motions differ from rigid ones by less than this share."""
ATTACHED_KEY_SHARE = 0.5
"""A part that more than this share of the keys move is attached to the skin, like lashes."""
SAME_PIECE_IOU = 0.4
"""Threshold for the intersection over union of the bounding boxes of a piece and its stiff part."""
MARGIN = 0.1
"""A piece may belong to a part if its centre is in the part's bounding box, enlarged by this share of its diagonal."""
SMALL = 0.6
"""A piece smaller than this share of a mouth part moves as one, like a single tooth."""
ROOTS = 0.3
"""Share of the vertices of a lash or brow, nearest to the skin, that are its roots."""
FOLLOW = 0.05
"""Pieces whose roots are farther from the skin than this share of the face's size do not follow it."""


@dataclass(frozen=True)
class PlacedPart:
    """A part of the source other than skin, placed by the registration.

    placed : (S, 3).
    motions : (K, S, 3) at rest.
    turns, shifts : (K, 3, 3), (K, 3) rigid approximation of the motions at rest, about its centre.
    clings : whether it moves with the skin.
    """

    placed: np.ndarray
    motions: np.ndarray
    place: Similarity
    turns: np.ndarray
    shifts: np.ndarray
    stiff: bool
    clings: bool

    def rigid(self, points: np.ndarray, middle: np.ndarray) -> np.ndarray:
        """(K, N, 3) rigid motions of points (N, 3), rotated about ``middle`` (3,)."""
        turn = self.place.rotation
        turns = turn @ self.turns @ turn.T - np.eye(3)
        return np.einsum("kab,nb->kna", turns, points - middle) + self.place.scale * (self.shifts @ turn.T)[:, None]

    @property
    def middle(self) -> np.ndarray:
        """(3,) centre of the placed part's bounding box."""
        return (self.placed.min(axis=0) + self.placed.max(axis=0)) / 2


def place_part(vertices: np.ndarray, motions: np.ndarray, skin: np.ndarray, bent: np.ndarray) -> PlacedPart:
    """Place a part (S, 3) of the source by the motion of the surrounding skin from ``skin`` to ``bent``, both (V,
    3)."""
    away = np.linalg.norm(skin - vertices.mean(axis=0), axis=1)
    around = np.argsort(away)[: max(min(300, len(skin) // 4), 4)]
    place = fit_similarity(skin[around], bent[around])
    mean = vertices.mean(axis=0)
    middle = (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    turns, shifts, stiff, moving = np.tile(np.eye(3), (len(motions), 1, 1)), np.zeros((len(motions), 3)), True, 0
    for number, motion in enumerate(motions):
        size = np.linalg.norm(motion)
        if size <= 0:
            continue
        moving += 1
        to = (vertices + motion).mean(axis=0)
        u, _, vt = np.linalg.svd((vertices + motion - to).T @ (vertices - mean))
        turn = (u * [1.0, 1.0, np.sign(np.linalg.det(u @ vt)) or 1.0]) @ vt
        turns[number], shifts[number] = turn, turn @ (middle - mean) + to - middle
        stiff &= bool(np.linalg.norm((vertices - mean) @ turn.T + to - vertices - motion) < STIFF * size)
    clings = moving > ATTACHED_KEY_SHARE * len(motions)
    return PlacedPart(place(vertices), motions, place, turns, shifts, stiff, clings)


def eyeballs(mesh: Surface, pieces: np.ndarray, placed: Sequence[PlacedPart]) -> list[Eyeball]:
    """The target's pieces that match the source's eyeballs: stiff parts that some key rotates about their own
    centre."""
    found = []
    for part in placed:
        size = np.linalg.norm(np.ptp(part.placed, axis=0)) / part.place.scale
        turned = np.einsum("kaa->k", part.turns) < 1 + 2 * np.cos(np.radians(8.0))
        about_itself = np.linalg.norm(part.shifts, axis=1) < 0.05 * size
        if not part.stiff or part.clings or not (turned & about_itself).any():
            continue
        candidates = [mesh.vertices[mesh.pieces == piece] for piece in pieces]
        shared = [_shared_volume(points, part.placed) for points in candidates]
        if shared and max(shared) > SAME_PIECE_IOU:
            points = candidates[int(np.argmax(shared))]
            middle = (points.min(axis=0) + points.max(axis=0)) / 2
            radius = float(np.median(np.linalg.norm(points - middle, axis=1)))
            inside = [p for p in candidates if np.linalg.norm(p.mean(axis=0) - middle) < 0.5 * radius]
            found.append(Eyeball(middle, radius, np.concatenate(inside)))
    return found


def move_pieces(
    out: np.ndarray,
    mesh: Surface,
    pieces: np.ndarray,
    skin_index: np.ndarray,
    placed: Sequence[PlacedPart],
    face_size: float,
):
    """Write the motions of a target's pieces into ``out`` (K, V, 3), which holds its skin's; yields between slices.

    A piece that matches a stiff part moves with it, about its own centre. A piece between several parts, so in the
    mouth, follows the parts nearest to its vertices. Any other piece is attached to the skin by its roots.
    """
    own = [part for part in placed if not part.clings]
    for piece in pieces:
        index = np.flatnonzero(mesh.pieces == piece)
        points = mesh.vertices[index]
        same = [_shared_volume(points, part.placed) if part.stiff else 0.0 for part in own]
        if own and max(same) > SAME_PIECE_IOU:
            middle = (points.min(axis=0) + points.max(axis=0)) / 2
            out[:, index] = own[int(np.argmax(same))].rigid(points, middle)
            yield
            continue
        around = [part for part in own if _holds(part.placed, points.mean(axis=0))]
        if len(around) > 1:
            out[:, index] = yield from _like_parts(points, around)
            if len(index) > 300:
                yield from _smooth(out, mesh, index)
            continue
        to_skin, distance = yield from nearest(points, mesh.vertices[skin_index])
        roots = np.argsort(distance, kind="stable")[: max(int(ROOTS * len(index)), 1)]
        root, _ = yield from nearest(points, points[roots])
        follows = np.clip(2.0 - distance[roots].mean() / (0.5 * FOLLOW * face_size), 0.0, 1.0)
        out[:, index] = out[:, skin_index[to_skin[roots[root]]]] * np.float32(follows)
        yield


def _shared_volume(a: np.ndarray, b: np.ndarray) -> float:
    low, high = np.maximum(a.min(axis=0), b.min(axis=0)), np.minimum(a.max(axis=0), b.max(axis=0))
    shared = float(np.prod(np.clip(high - low, 0.0, None)))
    return shared / max(float(np.prod(np.ptp(a, axis=0)) + np.prod(np.ptp(b, axis=0))) - shared, 1e-30)


def _holds(part: np.ndarray, point: np.ndarray) -> bool:
    margin = MARGIN * np.linalg.norm(np.ptp(part, axis=0))
    return bool(((point > part.min(axis=0) - margin) & (point < part.max(axis=0) + margin)).all())


def _like_parts(points: np.ndarray, parts: Sequence[PlacedPart]):
    """(K, N, 3) motions of the parts nearest to each point."""
    out = np.zeros((len(parts[0].motions), len(points), 3), np.float32)
    partners, away = [], []
    for part in parts:
        found, distance = yield from nearest(points, part.placed)
        partners.append(found)
        away.append(distance)
    owner = np.argmin(away, axis=0)
    main = int(np.argmin(np.mean(away, axis=1)))
    if np.linalg.norm(np.ptp(points, axis=0)) < SMALL * np.linalg.norm(np.ptp(parts[main].placed, axis=0)):
        owner[:] = main  # a single tooth
    for number, (part, found) in enumerate(zip(parts, partners, strict=True)):
        mine = owner == number
        if part.stiff:
            out[:, mine] = part.rigid(points[mine], part.middle)
        else:
            out[:, mine] = part.place.scale * part.motions[:, found[mine]] @ part.place.rotation.T
    return out


def _smooth(out: np.ndarray, mesh: Surface, index: np.ndarray):
    keep = np.zeros(len(mesh.vertices), bool)
    keep[index] = True
    piece, _ = mesh.part(keep)
    mean = EdgeOperator(piece.edges, np.ones(len(piece.edges)), len(index))
    for key in range(len(out)):
        motion = out[key, index]
        if np.abs(motion).max() > 0:
            for _ in range(12):
                motion = 0.5 * motion + 0.5 * mean.neighbours(motion) / np.maximum(mean.diagonal, 1.0)
            out[key, index] = motion
        yield
