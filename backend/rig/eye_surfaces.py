"""Small surfaces of the eyes: corneas over sunk irises, the tear line on the lower lid, caruncles.

They are computed from the neutral face and its 52 keys, so that they fit every face and move with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from backend.geometry.template import Template
from backend.rig.measure import EyeLoops, eye_sphere, face_loops, part_slice
from protocol.similarity import fit_similarity

IRIS_RADIUS = 0.00585
"""Metres: the visible iris is 11.7 mm across."""
_IRIS_DEPTH = 0.0001  # metres of the iris behind its rim's plane
_CORNEA_REACH = 0.0074  # metres from the axis at which the cornea's shell ends, inside the eyeball
_BULGE = 0.00055
"""Metres by which the cornea protrudes from the eyeball. Real ones protrude 1.3 mm more than this ball's front, but the
lids of ``hm08`` pass over the ball at 0.7 mm, and the cornea must stay behind a closed lid."""
_FILM, _EDGE_DEPTH = 0.00005, 0.00015  # metres above the eyeball at the iris's rim, and below it at the shell's edge
_RINGS, _SECTORS = 8, 24
_TEAR_RISE = 0.00055  # metres along the eyeball from the lid's margin to the top of the tear film
_TEAR_FILM = 0.00004  # metres above the eyeball
_TEAR_LID = 0.0001  # metres above the lid's margin, so that the lid does not occlude the tear line
_CARUNCLE = np.array([0.0027, 0.0023, 0.0014])
"""Metres: half its size across, up and towards the front. The lids' margins cover more than half of it; the corner's
triangle remains visible."""
_CARUNCLE_IN = 0.0019  # metres from the corner of the lids' margin towards the eyeball's axis
_CARUNCLE_RAISED = 0.0003  # metres of its middle above the eyeball; its front stays behind the lids' margin
_CARUNCLE_RINGS, _CARUNCLE_SECTORS = 5, 14


@dataclass(frozen=True)
class EyeSurface:
    """A small mesh that belongs to the eyes.

    Attributes
    ----------
    name : one of ``EYE_PART_NAMES``.
    vertices : (V, 3) float32 neutral, head frame, metres. quads : (F, 4) int32, a triangle repeats its last vertex.
    keys : (52, V, 3) float32 offsets in ARKit's order.
    """

    name: str
    vertices: np.ndarray
    quads: np.ndarray
    keys: np.ndarray


@dataclass(frozen=True)
class EyeShapes:
    """Both eyes with their small surfaces.

    Attributes
    ----------
    surfaces : in the order of ``EYE_PART_NAMES``.
    neutral : (V, 3) and keys : (52, V, 3), the given face with its irises sunk behind their corneas.
    centres : (2, 3) and radii : (2,) of the left and the right eyeball, metres.
    """

    surfaces: tuple[EyeSurface, ...]
    neutral: np.ndarray
    keys: np.ndarray
    centres: np.ndarray
    radii: np.ndarray


def eye_shapes(template: Template, neutral: np.ndarray, keys: np.ndarray) -> EyeShapes:
    """The eyes' surfaces of a face: neutral (V, 3) metres, keys (52, V, 3)."""
    neutral, keys = neutral.astype(np.float32), keys.astype(np.float32)
    made: dict[str, list[EyeSurface]] = {"tear_lines": [], "caruncles": []}
    surfaces, sunk, moved = [], neutral.copy(), keys.copy()
    spheres = []
    for eye, side in enumerate(("left", "right")):
        rows = part_slice(template.parts[f"eye_{side}"])
        centre, _ = eye_sphere(template, neutral, eye)
        ball = neutral[rows] - centre
        front = ball[(ball[:, 2] > 0) & (np.hypot(ball[:, 0], ball[:, 1]) < 0.009)]
        radius = float(np.linalg.norm(front, axis=1).mean())
        spheres.append((centre, radius))
        turns = _rotations(ball, keys[:, rows])
        flat = _with_flat_iris(ball, radius)
        sunk[rows] = centre + flat
        vertices, quads = _cornea(radius)
        for index, turn in turns.items():
            moved[index, rows] = flat @ (turn - np.eye(3)).T
        offsets = np.zeros((len(keys), len(vertices), 3), np.float32)
        for index, turn in turns.items():
            offsets[index] = vertices @ (turn - np.eye(3)).T
        surfaces.append(EyeSurface(f"cornea_{side}", (centre + vertices).astype(np.float32), quads, offsets))
        loops = face_loops(template).eyes[eye]
        made["tear_lines"].append(_tear_line(loops, neutral, keys, centre, radius, mirrored=eye == 1))
        made["caruncles"].append(_caruncle(loops, neutral, keys, centre, radius))
    surfaces += [_joined(name, pair) for name, pair in made.items()]
    return EyeShapes(
        tuple(surfaces),
        sunk,
        moved,
        np.array([centre for centre, _ in spheres]),
        np.array([radius for _, radius in spheres]),
    )


def _rotations(ball: np.ndarray, keys: np.ndarray) -> Mapping[int, np.ndarray]:
    """Rotation (3, 3) of each key (52, V, 3) that turns an eyeball (V, 3) about its centre, by the key's index."""
    shape = ball.astype(np.float64)
    return {
        int(index): fit_similarity(shape, shape + keys[index], scale=1.0).rotation
        for index in np.flatnonzero(np.abs(keys).max((1, 2)) > 1e-6)
    }


def _with_flat_iris(ball: np.ndarray, radius: float) -> np.ndarray:
    """The eyeball's points (V, 3) about its centre, with the iris as a flat disc behind its rim instead of a cap."""
    across = np.hypot(ball[:, 0], ball[:, 1])
    plane = np.sqrt(radius**2 - IRIS_RADIUS**2) - _IRIS_DEPTH
    flat = ball.copy()
    iris = (ball[:, 2] > 0) & (across < 0.96 * IRIS_RADIUS)
    flat[iris, 2] = plane
    return flat


def _cornea(radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3) about the eye's centre, and quads (F, 4), of the shell over iris and limbus."""
    across = np.linspace(0.0, 1.0, _RINGS + 1)[1:] * _CORNEA_REACH
    share = np.clip(across / IRIS_RADIUS, 0.0, 1.0)
    above = _FILM + _BULGE * (1.0 - share**2)
    beyond = np.clip((across - IRIS_RADIUS) / (_CORNEA_REACH - IRIS_RADIUS), 0.0, 1.0)
    above = above - (_FILM + _EDGE_DEPTH) * beyond**2
    depth = np.sqrt(radius**2 - across**2) + above
    vertices = _disc(radius + _FILM + _BULGE, across, depth, _SECTORS)
    return vertices.astype(np.float32), _disc_quads(_RINGS, _SECTORS)


def _disc(middle: float, across: np.ndarray, height: np.ndarray, sectors: int) -> np.ndarray:
    """(1 + R * S, 3) a vertex at height ``middle``, and circles of radii and heights (R,) around it."""
    angle = np.arange(sectors) / sectors * 2 * np.pi
    rings = np.stack(
        [np.outer(across, np.cos(angle)), np.outer(across, np.sin(angle)), np.repeat(height[:, None], sectors, 1)], -1
    )
    return np.concatenate([[[0.0, 0.0, middle]], rings.reshape(-1, 3)])


def _disc_quads(rings: int, sectors: int) -> np.ndarray:
    """(F, 4) int32 faces of ``_disc``, counter-clockwise seen from +z."""
    here = np.arange(sectors)
    following = np.roll(here, -1)
    faces = [np.stack([np.zeros_like(here), 1 + here, 1 + following, 1 + following], 1)]
    for ring in range(rings - 1):
        inner, outer = 1 + ring * sectors, 1 + (ring + 1) * sectors
        faces.append(np.stack([inner + here, outer + here, outer + following, inner + following], 1))
    return np.concatenate(faces).astype(np.int32)


def _tear_line(
    loops: EyeLoops, neutral: np.ndarray, keys: np.ndarray, centre: np.ndarray, radius: float, mirrored: bool
) -> EyeSurface:
    """A strip from the lower lid's margin onto the eyeball, between the corners; it moves with the margin."""
    columns = np.r_[loops.inner, loops.lower, loops.outer]
    lid, behind = loops.rows[loops.margin, columns], loops.rows[loops.margin - 1, columns]
    ends = np.sin(np.linspace(0.0, np.pi, len(columns)))[:, None] ** 0.5  # the strip tapers off into the corners
    rim = 0.6 * neutral[lid] + 0.4 * neutral[behind]  # (C, 3) between the lid's edge and where it meets the ball
    upwards = np.array([0.0, 1.0, 0.0])
    foot = neutral[behind] + 0.3 * (neutral[lid] - neutral[behind]) - centre
    ball = radius + _TEAR_FILM
    top = foot / np.linalg.norm(foot, axis=1, keepdims=True)
    along = upwards - (top @ upwards)[:, None] * top
    top = top * ball + along / np.linalg.norm(along, axis=1, keepdims=True) * _TEAR_RISE * ends
    top = centre + top / np.linalg.norm(top, axis=1, keepdims=True) * ball
    outwards = (rim - centre) / np.linalg.norm(rim - centre, axis=1, keepdims=True)
    rim = rim + (outwards + upwards) * _TEAR_LID * ends
    middle = 0.5 * (rim + top)
    middle -= (middle - centre) * 0.12 * (np.linalg.norm(middle - centre, axis=1, keepdims=True) - ball) / ball
    vertices = np.concatenate([rim, middle, top])
    move = 0.6 * keys[:, lid] + 0.4 * keys[:, behind]  # (52, C, 3)
    offsets = np.concatenate([move, move, move], axis=1)
    count = len(columns)
    at = np.arange(count - 1)
    quads = np.concatenate(
        [np.stack([row + at, row + at + 1, row + count + at + 1, row + count + at], 1) for row in (0, count)]
    )
    return EyeSurface("tear_lines", vertices, quads[:, ::-1] if mirrored else quads, offsets)


def _caruncle(loops: EyeLoops, neutral: np.ndarray, keys: np.ndarray, centre: np.ndarray, radius: float) -> EyeSurface:
    """A small round lump in the inner corner of the eye; it moves with the corner."""
    corner = loops.rows[loops.margin - 1 : loops.margin + 1, loops.inner]
    at = neutral[corner[1]].astype(np.float64)
    inwards = np.array([centre[0] - at[0], 0.0, 0.0])
    at = at + inwards / np.linalg.norm(inwards) * _CARUNCLE_IN
    corners = loops.rows[loops.margin, [loops.upper[0], loops.lower[0]]]
    at[1] = 0.5 * at[1] + 0.5 * neutral[corners, 1].mean()
    across = np.linalg.norm((at - centre)[:2])
    at[2] = centre[2] + np.sqrt(max(radius**2 - across**2, 0.0)) + _CARUNCLE_RAISED
    polar = (np.arange(_CARUNCLE_RINGS) + 1) / _CARUNCLE_RINGS * np.radians(100.0)
    ball = _disc(1.0, np.sin(polar), np.cos(polar), _CARUNCLE_SECTORS)
    lumps = 1.0 + 0.10 * np.sin(5.0 * ball[:, :1] + 1.0) * np.cos(4.0 * ball[:, 1:2])  # irregular, not a smooth bead
    vertices = at + ball * lumps * _CARUNCLE
    move = keys[:, np.r_[corner, corners]].mean(axis=1)  # (52, 3)
    offsets = np.repeat(move[:, None], len(vertices), axis=1)
    return EyeSurface("caruncles", vertices, _disc_quads(_CARUNCLE_RINGS, _CARUNCLE_SECTORS), offsets)


def _joined(name: str, pair: list[EyeSurface]) -> EyeSurface:
    before = len(pair[0].vertices)
    return EyeSurface(
        name,
        np.concatenate([surface.vertices for surface in pair]).astype(np.float32),
        np.concatenate([pair[0].quads, pair[1].quads + before]).astype(np.int32),
        np.concatenate([surface.keys for surface in pair], axis=1).astype(np.float32),
    )
