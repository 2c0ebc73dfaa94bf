"""Transfer shape keys of one face to a mesh without any, regardless of topology. Only numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import AddonError
from .alignment import align_by_points, find_alignment, refine_alignment
from .carry import carry, make_carrier
from .lids import shut_lids
from .loose_pieces import eyeballs, move_pieces, place_part
from .nearest import nearest
from .registration import Correspondence, correspond, register
from .surface import Surface, welded

SKIN_SHARE = 0.35
"""Connected pieces with at least this share of the largest piece's vertices count as skin."""
FACE_SHARE = 0.03
"""The source's face: vertices that some key moves by more than this share of the largest motion."""
BAD_FIT = 0.35


@dataclass(frozen=True)
class SourcePart:
    """One mesh of the source in world space: vertices (S, 3), triangles (T, 3), motions (K, S, 3) of its keys."""

    vertices: np.ndarray
    triangles: np.ndarray
    motions: np.ndarray


@dataclass(frozen=True)
class MarkedPoints:
    """Corresponding points (N, 3) marked by the artist on both meshes, in world space."""

    source: np.ndarray
    target: np.ndarray


def transfer_keys(
    parts: Sequence[SourcePart],
    vertices: np.ndarray,
    triangles: np.ndarray,
    marked: MarkedPoints | None = None,
    blinks: Sequence[int] = (),
):
    """Motions (K, V, 3) float32 of the target's vertices (V, 3); yields the fraction done.

    Both meshes stand upright along z in the same frame (Blender's world). Size, position and quarter turns may differ;
    with ``marked`` points (at least four) any orientation is allowed. ``blinks`` are the indices of the keys that close
    an eye. Raises ``AddonError`` ``no_face`` if the source has no motions or the target has no similar face.
    """
    source, motions, loose = _split_source(parts)
    yield 0.01
    mesh, number = welded(np.asarray(vertices, float), triangles)
    yield 0.02
    sizes = np.bincount(mesh.pieces)
    yield 0.04
    skin, skin_index = mesh.part(np.isin(mesh.pieces, np.flatnonzero(sizes >= SKIN_SHARE * sizes[0])))
    moves = np.linalg.norm(motions, axis=2).max(axis=0)
    if not len(moves) or moves.max() <= 0 or len(skin.triangles) < 20:
        raise AddonError("There is no face to take keys from, or none to give them to.", "Choose heads.", "no_face")
    face = np.flatnonzero(moves > FACE_SHARE * moves.max())
    yield 0.05
    pinned = None
    if marked is None:
        fit = yield from _stage(find_alignment(source, face, skin), 0.05, 0.3, 240)
    else:
        fit = align_by_points(marked.source, marked.target)
        fit = yield from _stage(refine_alignment(source, face, skin, fit), 0.05, 0.3, 12)
        at, _ = yield from _stage(nearest(marked.source, source.vertices), 0.3, 0.3, 1)
        pinned = (at, marked.target)
    rest = source.moved(fit(source.vertices))
    face_size = float(np.linalg.norm(np.ptp(rest.vertices[face], axis=0)))
    bent = yield from _stage(register(rest, skin, face_size, pinned), 0.3, 0.6, 900)
    bent_surface = rest.moved(bent)
    partner = yield from _stage(correspond(skin, bent_surface, face_size), 0.6, 0.65, 60)
    _check_fit(bent_surface, face, partner)
    carrier = yield from _stage(make_carrier(source, bent, skin, partner, motions, fit.scale), 0.65, 0.66, 5)
    of_skin = yield from _scaled(carry(carrier, motions), 0.66, 0.88)
    out = np.zeros((len(motions), len(mesh.vertices), 3), np.float32)
    placed = [place_part(*piece, source.vertices, bent) for piece in loose]
    others = [p for p in range(len(sizes)) if sizes[p] < SKIN_SHARE * sizes[0]]
    eyes = eyeballs(mesh, np.array(others, int), placed)
    for key in blinks:
        yield from _stage(shut_lids(of_skin[key], skin, eyes, partner.sure), 0.88, 0.9, 60)
    out[:, skin_index] = of_skin
    if others:
        steps = move_pieces(out, mesh, np.array(others), skin_index, placed, face_size)
        yield from _stage(steps, 0.9, 0.97, 100)
    return out[:, number]


def _split_source(parts: Sequence[SourcePart]) -> tuple[Surface, np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
    """The source's skin with its motions, and vertices and motions of its other pieces."""
    surfaces = []
    for part in parts:
        mesh, number = welded(np.asarray(part.vertices, float), part.triangles)
        motions = np.zeros((len(part.motions), len(mesh.vertices), 3))
        motions[:, number] = part.motions
        for piece in range(mesh.pieces.max() + 1 if len(mesh.vertices) else 0):
            surface, index = mesh.part(mesh.pieces == piece)
            surfaces.append((surface, motions[:, index]))
    if not surfaces:
        raise AddonError("The source has no faces.", "Choose a head with shape keys.", "no_face")
    skin = max(range(len(surfaces)), key=lambda number: len(surfaces[number][0].vertices))
    loose = [(s.vertices, m) for number, (s, m) in enumerate(surfaces) if number != skin and len(s.vertices) >= 20]
    return *surfaces[skin], loose


def _check_fit(bent: Surface, face: np.ndarray, partner: Correspondence) -> None:
    """Raise ``AddonError`` ``no_face`` if too little of the face has a correspondence on the target."""
    met = np.zeros(len(bent.vertices), bool)
    met[bent.triangles[partner.triangle[partner.sure > 0.2]].ravel()] = True
    spread = np.linalg.norm(np.ptp(bent.vertices[face[met[face]]], axis=0)) if met[face].any() else 0.0
    if spread < (1 - BAD_FIT) * np.linalg.norm(np.ptp(bent.vertices[face], axis=0)):
        raise AddonError(
            "The target shows no face like the source's.", "Mark a few corresponding points on both.", "no_face"
        )


def _stage(steps, first: float, last: float, expected: int):
    """Run a stage that yields no fractions; the fraction done approaches ``last``."""
    count = 0
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value
        count += 1
        yield first + (last - first) * min(count / expected, 1.0)


def _scaled(steps, first: float, last: float):
    while True:
        try:
            done = next(steps)
        except StopIteration as stop:
            return stop.value
        yield first + (last - first) * done
